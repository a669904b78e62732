package console

// Commands are the names of all commands, and where in the API each of them goes.
func Commands() map[string]string {
	paths := map[string]string{}
	for _, c := range commands {
		paths[c.Name] = c.Path
	}
	return paths
}

// Exact writes a duration as figures do.
var Exact = exact
