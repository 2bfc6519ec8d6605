package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// licences are those under which a static program may be passed on as a binary, if their texts go
// with it. The phrases are what no other licence says, in small letters and without punctuation.
var licences = []struct{ name, phrase, without string }{
	{"Apache-2.0", "apache license version 2 0", ""},
	{"BSD-2-Clause", "redistribution and use in source and binary forms with or without modification are permitted",
		"to endorse or promote products"},
	{"BSD-3-Clause", "to endorse or promote products", ""},
	{"ISC", "permission to use copy modify and or distribute this software for any purpose with or without fee is " +
		"hereby granted", ""},
	{"ISC", "permission to use copy modify and distribute this software for any purpose with or without fee is " +
		"hereby granted", ""},
	{"MIT", "permission is hereby granted free of charge to any person obtaining a copy", "for good not evil"},
}

// conditions are what would have to be looked at, also where one of the licences stands beside it.
var conditions = regexp.MustCompile(`general public license|mozilla public|eclipse public|creative commons|` +
	`common development and distribution|server side public|business source|for good not evil|` +
	`non ?commercial|all advertising materials`)

var punctuation = regexp.MustCompile(`[^a-z0-9]+`)

// identify returns the SPDX identifiers of a text of licences. An unknown text, or one that sets
// conditions, is an error.
func identify(text string) ([]string, error) {
	words := punctuation.ReplaceAllString(strings.ToLower(text), " ")
	if condition := conditions.FindString(words); condition != "" {
		return nil, fmt.Errorf("it says %q: look whether the program may be passed on with it", condition)
	}
	var names []string
	for _, l := range licences {
		if strings.Contains(words, l.phrase) && (l.without == "" || !strings.Contains(words, l.without)) {
			names = append(names, l.name)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("its licence is none of those that are known here; read it, and look whether the " +
			"program may be passed on with it")
	}
	return slices.Compact(names), nil
}
