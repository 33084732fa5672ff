{{- define "fastdns.name" -}}
{{- if contains "fastdns" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-fastdns" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "fastdns.selector" -}}
app.kubernetes.io/name: fastdns
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fastdns.labels" -}}
{{ include "fastdns.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "fastdns.metadata" -}}
name: {{ include "fastdns.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "fastdns.labels" . | nindent 2 }}
{{- end }}

{{- define "fastdns.corefile" -}}
{{- if .Values.corefile -}}
{{ .Values.corefile }}
{{- else -}}
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes {{ .Values.clusterDomain }} in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
{{ end -}}
{{- end }}
