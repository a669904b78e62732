package nsca

import (
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
)

// Config is the section nsca: of the configuration file.
type Config struct {
	// Listen is an address such as 127.0.0.1:5667; empty means that there is no listener.
	Listen string `yaml:"listen"`
	// Source is the source that results belong to; empty means nsca.
	Source string `yaml:"source"`
	// Method is the encryption_method of the clients' send_nsca.cfg, and Password
	// their password.
	Method       int           `yaml:"encryption_method"`
	Password     secret.String `yaml:"password"`
	PasswordFile string        `yaml:"password_file"`
	// MaxAge is how far the time in a packet may be off; 0 means 30 seconds.
	MaxAge model.Duration `yaml:"max_age"`
}

// DefaultSource is the source of results unless the section names another.
const DefaultSource = "nsca"

// Check reports a method that does not exist.
func (c Config) Check() error {
	_, err := newDecrypter(c.Method, c.Password.Reveal(), make([]byte, ivSize))
	return err
}
