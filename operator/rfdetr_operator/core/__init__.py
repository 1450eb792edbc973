"""Decisions. All functions are pure: no input, no output, no clock, no chance; the truth comes in, a plan goes out."""
