"""Importing this opens a connection that stays: the fork server must notice."""

from __future__ import annotations

import socket

connection = socket.socket()
