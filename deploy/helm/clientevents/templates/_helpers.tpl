{{- define "clientevents.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "clientevents.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "clientevents.labels" -}}
{{ include "clientevents.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "clientevents.metadata" -}}
name: {{ include "clientevents.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "clientevents.labels" . | nindent 2 }}
{{- end -}}

{{- define "clientevents.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "clientevents.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "clientevents.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* The port of admin.listen, which is :9090 where it isn't said. */ -}}
{{- define "clientevents.adminPort" -}}
{{- $port := dig "admin" "listen" ":9090" .Values.config | toString | regexFind "[0-9]+$" -}}
{{- if or (not $port) (eq $port "0") -}}
{{- fail "config.admin.listen: want a port that probes and Prometheus can know, such as :9090" -}}
{{- end -}}
{{- $port -}}
{{- end -}}

{{- /* 90 % of limits.memory, in the form that Go reads. The rest is for what the Go
       runtime doesn't count. */ -}}
{{- define "clientevents.memoryLimit" -}}
{{- $limit := .Values.resources.limits.memory | toString -}}
{{- $units := dict "Mi" 1048576 "Gi" 1073741824 "M" 1000000 "G" 1000000000 -}}
{{- $unit := regexFind "[A-Za-z]+$" $limit -}}
{{- if not (and (hasKey $units $unit) (regexMatch "^[0-9]+[A-Za-z]+$" $limit)) -}}
{{- fail (printf "resources.limits.memory: %q: want a whole number of Mi or Gi, such as 256Mi" $limit) -}}
{{- end -}}
{{- $bytes := mul (regexFind "^[0-9]+" $limit | int64) (get $units $unit) -}}
{{- printf "%dMiB" (div (div (mul $bytes 9) 10) 1048576) -}}
{{- end -}}

{{- /* The configuration's path in the pod. */ -}}
{{- define "clientevents.configFile" -}}
/etc/clientevents/config/clientevents.yaml
{{- end }}

{{- /* The kind of workload: static members need stable names. */ -}}
{{- define "clientevents.kind" -}}
{{- ternary "StatefulSet" "Deployment" .Values.staticMembership -}}
{{- end }}
