{{/* Name of all objects: release and chart, once when they are the same. A Service's has no dot and no digit first. */}}
{{- define "hublet.fullname" -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if regexMatch "^[0-9]" $release -}}
{{- printf "hublet-%s" $release | trunc 40 | trimSuffix "-" -}}
{{- else if contains "hublet" $release -}}
{{- $release | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-hublet" ($release | trunc 33 | trimSuffix "-") -}}
{{- end -}}
{{- end }}

{{- define "hublet.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "hublet.fullname" .) -}}
{{- end }}

{{/* Labels that select the operator's pods; managed Redis lets pods with the first two in. */}}
{{- define "hublet.selectorLabels" -}}
app.kubernetes.io/name: hublet
app.kubernetes.io/component: operator
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | quote }}
{{- end }}

{{/* Ours last: a label of the user's must not take an object out of a selector. */}}
{{- define "hublet.labels" -}}
{{- $ours := dict
  "app.kubernetes.io/part-of" "hublet"
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/version" .Chart.AppVersion
  "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_")) }}
{{- $selector := include "hublet.selectorLabels" . | fromYaml }}
{{- toYaml (mergeOverwrite (deepCopy .Values.commonLabels) $ours $selector) }}
{{- end }}

{{- define "hublet.podLabels" -}}
{{- $selector := include "hublet.selectorLabels" . | fromYaml }}
{{- $ours := dict "app.kubernetes.io/part-of" "hublet" }}
{{- toYaml (mergeOverwrite (deepCopy .Values.commonLabels) .Values.podLabels $ours $selector) }}
{{- end }}

{{- define "hublet.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* Where hubs may be, as a list in JSON. */}}
{{- define "hublet.namespaces" -}}
{{- .Values.watch.namespaces | default (list .Release.Namespace) | toJson -}}
{{- end }}

{{/* What a schema cannot say. */}}
{{- define "hublet.check" -}}
{{- with .Values.leaderElection }}
{{- if le (int .leaseSeconds) (int .renewSeconds) }}
{{- fail (printf "leaderElection.leaseSeconds: expected more than renewSeconds (%d), got %d" (int .renewSeconds) (int .leaseSeconds)) }}
{{- end }}
{{- if lt (int .renewSeconds) (mul 2 (int .retrySeconds) | int) }}
{{- fail (printf "leaderElection.renewSeconds: expected at least twice retrySeconds (%d), got %d" (int .retrySeconds) (int .renewSeconds)) }}
{{- end }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.name: expected a name when serviceAccount.create is false, got nothing" }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service) }}
{{- fail "metrics.service: expected true with metrics.serviceMonitor.enabled, got false" }}
{{- end }}
{{- end }}
