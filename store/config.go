package store

// Config is the section store: of the configuration file.
type Config struct {
	// URL names the store: file:DIR or mem:. The flag --store.url overrides it.
	URL string `yaml:"url"`
}
