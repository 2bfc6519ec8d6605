package corpus

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// An Example is one line that an rsync daemon writes.
type Example struct {
	Kind     string // as rsynclog.Kind.String has it
	Versions string // of rsync: "all" is 2.6.9 to 3.5.0; "3.1+", "-3.0.9", "3.1-3.1.3"; "-" where it isn't rsync's
	Text     string
}

// Examples reads a table of kind, versions and text; {long} stands for a name of some two thousand bytes.
func Examples(path string) ([]Example, error) {
	table, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []Example
	for line := range bytes.Lines(table) {
		columns := strings.SplitN(strings.TrimSuffix(string(line), "\n"), "\t", 3)
		if len(columns) != 3 {
			return nil, fmt.Errorf("%s: %q has %d columns, not kind, versions and text", path, line, len(columns))
		}
		text := strings.ReplaceAll(columns[2], "{long}", strings.Repeat("7", 2040))
		all = append(all, Example{columns[0], columns[1], text})
	}
	return all, nil
}
