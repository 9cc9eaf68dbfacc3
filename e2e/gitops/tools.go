//go:build tools

// The Gateway API is needed for the CRDs that its module carries beside the code.
package tools

import _ "sigs.k8s.io/gateway-api/apis/v1"
