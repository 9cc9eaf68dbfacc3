{{/* Generated from operator/rbac.ts by `make generate`; edit it there. */}}
{{- define "hublet.kindsRole" -}}hublet-kinds{{- end }}
{{- define "hublet.workloadsRole" -}}hublet-workloads{{- end }}
{{- define "hublet.rules.kinds" -}}
- apiGroups:
    - iot.hublet.dev
  resources:
    - hubs
    - devices
    - networks
    - routes
  verbs:
    - get
    - list
    - watch
    - patch
- apiGroups:
    - iot.hublet.dev
  resources:
    - devices
  verbs:
    - create
- apiGroups:
    - iot.hublet.dev
  resources:
    - devices
    - networks
    - routes
  verbs:
    - delete
- apiGroups:
    - iot.hublet.dev
  resources:
    - hubs/status
    - devices/status
    - networks/status
    - routes/status
  verbs:
    - patch
- apiGroups:
    - events.k8s.io
  resources:
    - events
  verbs:
    - create
    - patch
{{- end }}
{{- define "hublet.rules.workloads" -}}
- apiGroups:
    - ""
  resources:
    - secrets
    - configmaps
    - services
    - serviceaccounts
  verbs:
    - get
    - list
    - watch
    - create
    - patch
    - delete
- apiGroups:
    - apps
  resources:
    - deployments
    - statefulsets
  verbs:
    - get
    - list
    - watch
    - create
    - patch
    - delete
- apiGroups:
    - policy
  resources:
    - poddisruptionbudgets
  verbs:
    - get
    - list
    - watch
    - create
    - patch
    - delete
- apiGroups:
    - networking.k8s.io
  resources:
    - networkpolicies
  verbs:
    - get
    - list
    - watch
    - create
    - patch
    - delete
- apiGroups:
    - gateway.networking.k8s.io
  resources:
    - tlsroutes
    - httproutes
  verbs:
    - get
    - create
    - patch
    - delete
{{- end }}
{{- define "hublet.rules.lease" -}}
- apiGroups:
    - coordination.k8s.io
  resources:
    - leases
  verbs:
    - create
- apiGroups:
    - coordination.k8s.io
  resources:
    - leases
  resourceNames:
    - '{{ include "hublet.fullname" . }}'
  verbs:
    - get
    - update
{{- end }}
{{- define "hublet.rules.defaultRedis" -}}
- apiGroups:
    - ""
  resources:
    - secrets
  resourceNames:
    - "{{ .Values.defaultRedisSecret }}"
  verbs:
    - get
{{- end }}
{{- define "hublet.rules.view" -}}
- apiGroups:
    - iot.hublet.dev
  resources:
    - hubs
    - devices
    - networks
    - routes
  verbs:
    - get
    - list
    - watch
{{- end }}
{{- define "hublet.rules.edit" -}}
- apiGroups:
    - iot.hublet.dev
  resources:
    - hubs
    - devices
    - networks
    - routes
  verbs:
    - create
    - update
    - patch
    - delete
    - deletecollection
{{- end }}
