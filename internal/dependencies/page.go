package main

import (
	"fmt"
	"strings"
)

// Each table stands between two such lines.
const (
	begin = "<!-- table: %s, by make dependencies -->\n"
	end   = "<!-- end -->\n"
)

// update returns the page with its tables as the modules say. What a direct requirement is for is
// written by hand, and kept.
func update(page string, all []*module) (string, error) {
	why := reasons(page)
	var direct, indirect strings.Builder
	direct.WriteString("| module | licence | in the program | what for |\n|---|---|---|---|\n")
	indirect.WriteString("| module | licence |\n|---|---|\n")
	for _, m := range all {
		licence := strings.Join(m.licences, ", ")
		if !m.direct {
			fmt.Fprintf(&indirect, "| %s | %s |\n", m.path, licence)
			continue
		}
		if why[m.path] == "" {
			return "", fmt.Errorf("%s doesn't say what module %s is for: add the row \"| %s | | | why |\"",
				pageName, m.path, m.path)
		}
		in := "no"
		if len(m.packages) > 0 {
			in = "yes"
		}
		fmt.Fprintf(&direct, "| %s | %s | %s | %s |\n", m.path, licence, in, why[m.path])
	}
	page, err := replace(page, "direct", direct.String())
	if err != nil {
		return "", err
	}
	return replace(page, "indirect", indirect.String())
}

// reasons returns what the page says each module is for.
func reasons(page string) map[string]string {
	why := map[string]string{}
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) == 6 {
			why[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[4])
		}
	}
	return why
}

// replace puts a table between its two lines.
func replace(page, name, table string) (string, error) {
	start := fmt.Sprintf(begin, name)
	before, rest, ok := strings.Cut(page, start)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("%s has no lines %q and %q", pageName, strings.TrimSpace(start), strings.TrimSpace(end))
	}
	return before + start + table + end + after, nil
}
