{{- define "rfdetr-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "rfdetr-operator.fullname" -}}
{{- $name := include "rfdetr-operator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* What the operator's pods are found by: it never changes in the life of a release. */ -}}
{{- define "rfdetr-operator.selector" -}}
app.kubernetes.io/name: {{ include "rfdetr-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "rfdetr-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "rfdetr-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: rfdetr
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /*
metadata of an object. root: the context; name; namespace (absent: cluster-scoped);
labels, annotations: this object's own.
*/ -}}
{{- define "rfdetr-operator.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- merge (dict) (default (dict) .labels) (include "rfdetr-operator.labels" .root | fromYaml) .root.Values.commonLabels | toYaml | nindent 2 }}
{{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* root, image: REGISTRY/REPOSITORY:TAG, or REGISTRY/REPOSITORY@DIGEST. */ -}}
{{- define "rfdetr-operator.image" -}}
{{- $path := .image.repository -}}
{{- with .image.registry }}{{ $path = printf "%s/%s" (trimSuffix "/" .) $path }}{{ end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $path .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $path (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "rfdetr-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "rfdetr-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* The namespaces whose jobs are served, as a JSON list; empty means all. */ -}}
{{- define "rfdetr-operator.watched" -}}
{{- if and (eq .Values.rbac.scope "namespace") (not .Values.rbac.watchNamespaces) -}}
{{- list .Release.Namespace | toJson -}}
{{- else -}}
{{- .Values.rbac.watchNamespaces | uniq | toJson -}}
{{- end -}}
{{- end -}}

{{- /* The namespace of the dry-run job: one that the operator serves. */ -}}
{{- define "rfdetr-operator.testNamespace" -}}
{{- default .Release.Namespace (first (include "rfdetr-operator.watched" . | fromJsonArray)) -}}
{{- end -}}

{{- define "rfdetr-operator.env" -}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- name: RFDETR_TRAINER_IMAGE
  value: {{ include "rfdetr-operator.image" (dict "root" . "image" .Values.trainer.image) | quote }}
- name: RFDETR_WATCH_NAMESPACES
  value: {{ include "rfdetr-operator.watched" . | fromJsonArray | join "," | quote }}
- name: RFDETR_LEADER_ELECTION
  value: "true"
- name: RFDETR_LEASE_NAME
  value: {{ include "rfdetr-operator.fullname" . | quote }}
- name: RFDETR_LEASE_SECONDS
  value: {{ .Values.leaderElection.leaseSeconds | quote }}
- name: RFDETR_REPORTS_VIA
  value: {{ .Values.reports.via | quote }}
- name: RFDETR_NODE_LOST_SECONDS
  value: {{ ternary .Values.nodeLostSeconds 0 (eq .Values.rbac.scope "cluster") | quote }}
- name: RFDETR_CLUSTER_DOMAIN
  value: {{ .Values.clusterDomain | quote }}
- name: RFDETR_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* What the operator does with jobs and their children, in every namespace that it serves. */ -}}
{{- define "rfdetr-operator.rules" -}}
- {apiGroups: [rfdetr.io], resources: [rfdetrtrainingjobs], verbs: [get, list, watch, delete]}
- {apiGroups: [rfdetr.io], resources: [rfdetrtrainingjobs/status], verbs: [patch]}
- {apiGroups: [""], resources: [pods], verbs: [get, list, watch, create, delete]}
{{- if eq .Values.reports.via "apiProxy" }}
- {apiGroups: [""], resources: [pods/proxy], verbs: [get]}
{{- end }}
- {apiGroups: [""], resources: [services], verbs: [get, list, create]}
- {apiGroups: [""], resources: [persistentvolumeclaims], verbs: [get, create]}
- {apiGroups: [events.k8s.io], resources: [events], verbs: [create, get, patch]}
{{- end -}}

{{- /* root, name, namespace, role (kind): the end of a binding to the operator's service account. */ -}}
{{- define "rfdetr-operator.binding" -}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ .role }}, name: {{ .name }}}
subjects:
  - {kind: ServiceAccount, name: {{ include "rfdetr-operator.serviceAccount" .root }}, namespace: {{ .root.Release.Namespace }}}
{{- end -}}
