package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"path"

	"github.com/gin-gonic/gin"
)

// assetsPath is where styles, scripts and icons are.
const assetsPath = "/assets/"

//go:embed assets templates
var embedded embed.FS

// asset is a file that pages refer to by a name that changes with its content, so
// that browsers need to ask for it once only.
type asset struct {
	url, mediaType string
	data           []byte
}

// readAssets returns the files by their plain names.
func readAssets() (map[string]asset, error) {
	entries, err := embedded.ReadDir("assets")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	files := map[string]asset{}
	for _, e := range entries {
		data, err := embedded.ReadFile("assets/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		sum := sha256.Sum256(data)
		files[e.Name()] = asset{assetsPath + e.Name() + "?v=" + hex.EncodeToString(sum[:6]), mime.TypeByExtension(path.Ext(e.Name())), data}
	}
	return files, nil
}

// asset answers GET /assets/{name}.
func (k *Console) asset(c *gin.Context) {
	f, ok := k.files[c.Param("name")]
	if !ok {
		c.Status(http.StatusNotFound)
		return
	}
	h := c.Writer.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	if c.Request.URL.RequestURI() == f.url {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	c.Data(http.StatusOK, f.mediaType, f.data)
}
