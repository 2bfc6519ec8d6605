package ask

import (
	"fmt"
	"strings"
	"testing"
)

// An entry that is written with everything in quotes is found behind any text of complete lines that doesn't itself
// begin an entry, a macro, or a string.
func FuzzNetrc(f *testing.F) {
	f.Add("machine a login b password c\n", "h", "u", "p w")
	f.Add("# x\nmacdef init\n\n", "h", "u", `\"`)
	f.Add("machine h login u password", "", "", "")
	f.Fuzz(func(t *testing.T, before, host, user, password string) {
		netrc(before, host, user) // it ends, and doesn't panic
		for _, word := range []string{"machine", "default", "login", "password", "account", "macdef", `"`, "#"} {
			if strings.Contains(before, word) {
				return
			}
		}
		if user == "" {
			return
		}
		quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace
		text := fmt.Sprintf("%s\nmachine \"%s\" login \"%s\" password \"%s\"\n", before, quote(host), quote(user), quote(password))
		u, p, ok := netrc(text, host, user)
		if !ok || u != user || p != password {
			t.Errorf("netrc(%q) = %q, %q, %v", text, u, p, ok)
		}
	})
}
