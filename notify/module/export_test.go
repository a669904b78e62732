package module

// SetBundle sets what was found in the environment, until the test ends.
func SetBundle(t interface{ Cleanup(func()) }, path string) {
	bundle.Lock()
	defer bundle.Unlock()
	before := bundle.path
	bundle.path = path
	t.Cleanup(func() {
		bundle.Lock()
		defer bundle.Unlock()
		bundle.path = before
	})
}
