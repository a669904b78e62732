package web

// SetCompare replaces what compares passwords with hashes, and returns what did so far.
func (a *API) SetCompare(f func(hash, password []byte) error) (was func(hash, password []byte) error) {
	was, a.compare = a.compare, f
	return was
}
