package ask

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"rsyncd_exporter/internal/readfile"
)

// A login is a user with a password. The zero login is none.
type login struct{ user, password, from string }

// The variables that say as whom to ask. internal/config knows that they are no settings.
const (
	userVariable     = "RSYNCD_EXPORTER_USER"
	passwordVariable = "RSYNCD_EXPORTER_PASSWORD" // #nosec G101 -- the name of a variable, not a password
)

// loginFor finds user and password for an address. Where it names a user only, the netrc file may
// have that one's password.
func loginFor(u *url.URL) (login, error) {
	wanted := u.User.Username()
	if password, ok := u.User.Password(); ok {
		return login{wanted, password, "the address"}, nil
	}
	user, password := os.Getenv(userVariable), os.Getenv(passwordVariable)
	switch {
	case user != "" && (wanted == "" || wanted == user):
		return login{user, password, userVariable + " and " + passwordVariable}, nil
	case user == "" && password != "":
		if wanted == "" {
			return login{}, fmt.Errorf("%s is set and %s is not: set both", passwordVariable, userVariable)
		}
		return login{wanted, password, passwordVariable}, nil
	}
	l, err := fromNetrc(u.Hostname(), wanted)
	if err == nil && l == (login{}) && wanted != "" {
		l = login{user: wanted, from: "the address"}
	}
	return l, err
}

// fromNetrc returns the login of a host, and of a user unless that is empty, from the file that
// NETRC names or ~/.netrc, or none.
func fromNetrc(host, user string) (login, error) {
	path := os.Getenv("NETRC")
	named := path != ""
	if !named {
		home, err := os.UserHomeDir()
		if err != nil {
			return login{}, nil
		}
		path = filepath.Join(home, ".netrc")
	}
	const most = 1 << 20
	text, err := readfile.Read(path, most)
	if err != nil {
		// HOME may be another user's or /dev/null, as that of services is. An exporter that wants a
		// password says so.
		gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR)
		if !named && gone {
			return login{}, nil
		}
		return login{}, fmt.Errorf("netrc: %w", err)
	}
	if user, password, ok := netrc(string(text), host, user); ok {
		return login{user, password, path}, nil
	}
	return login{}, nil
}

// netrc finds the first entry for a host in the text of a netrc file: one that names the host, or a
// default. With a user it is the first of that user. See curl's netrc.c and ftp(1).
func netrc(text, host, user string) (foundUser, password string, ok bool) {
	var login, pass string
	matches := false
	found := func() bool { return matches && login != "" && (user == "" || user == login) }
	for text != "" {
		var word string
		switch word, text = token(text); word {
		case "machine", "default":
			if found() {
				return login, pass, true
			}
			matches, login, pass = word == "default", "", ""
			if word == "machine" {
				word, text = token(text)
				matches = strings.EqualFold(word, host)
			}
		case "login":
			login, text = token(text)
		case "password":
			pass, text = token(text)
		case "account":
			_, text = token(text)
		case "macdef": // until an empty line
			_, text, _ = strings.Cut(text, "\n\n")
		default:
			if strings.HasPrefix(word, "#") {
				_, text, _ = strings.Cut(text, "\n")
			}
		}
	}
	return login, pass, found()
}

// token cuts the first word off a text: up to white space, or in double quotes, where a backslash
// makes the next character plain.
func token(text string) (word, rest string) {
	const space = " \t\r\n"
	text = strings.TrimLeft(text, space)
	if !strings.HasPrefix(text, `"`) {
		if end := strings.IndexAny(text, space); end >= 0 {
			return text[:end], text[end:]
		}
		return text, ""
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:]
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}
