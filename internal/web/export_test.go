package web

// Read reads a web configuration once.
func (f *webFile) Read() error {
	_, err := f.read()
	return err
}

// NewFile is a web configuration that is read again and again.
var NewFile = newWebFile
