{{- define "netboot-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "netboot-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "netboot-operator.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "netboot-operator.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "netboot-operator.serviceAccountName" -}}
{{- default (include "netboot-operator.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "netboot-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "netboot-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "netboot-operator.labels" -}}
{{ include "netboot-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: netboot-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "netboot-operator.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- /* The rules of a kind of role, as config/rbac has them. */}}
{{- define "netboot-operator.rules" -}}
{{- range splitList "\n---\n" (.root.Files.Get "files/rbac/role.yaml") }}
{{- $role := fromYaml . }}
{{- if eq (default "" $role.kind) $.kind }}
{{- toYaml $role.rules }}
{{- end }}
{{- end }}
{{- end }}

{{- define "netboot-operator.registerNamespace" -}}
{{- default (default .Release.Namespace .Values.watchNamespace) .Values.registerNamespace }}
{{- end }}

{{- define "netboot-operator.port" -}}
{{- splitList ":" . | last }}
{{- end }}
