package module

import (
	"os"
	"sync"

	amconfig "github.com/prometheus/alertmanager/config"
)

// bundleVariable names a file with the authorities that AWS's library trusts:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-gen-config.html.
const bundleVariable = "AWS_CA_BUNDLE"

// bundle is what the variable said when it was taken away.
var bundle struct {
	sync.Mutex
	path string
}

// takeBundle takes the variable out of the environment. Where it is set, the
// module lets AWS's library make connections by itself, without our guard; as a
// ca_file of the block it means the same, and goes through it.
func takeBundle() string {
	bundle.Lock()
	defer bundle.Unlock()
	if path := os.Getenv(bundleVariable); path != "" && os.Unsetenv(bundleVariable) == nil {
		bundle.path = path
	}
	return bundle.path
}

// bundleFor is the ca_file of a block, and whether AWS's library makes its
// connections all the same because the block says so. Then there is no guard.
func bundleFor(c *amconfig.SNSConfig) (path string, unguarded bool) {
	path = takeBundle()
	if c.HTTPConfig != nil {
		if t := c.HTTPConfig.TLSConfig; t.CAFile != "" || t.CA != "" || t.CARef != "" {
			path = t.CAFile
		}
	}
	return path, c.UseAWSHTTPClient
}
