package rsynclog

import "bytes"

// LooksLikeTransfer guesses whether an unrecognised text is a transfer line of another log format.
// It serves hints to people; nothing is counted by it. Such a line begins with the operation (%o),
// holds the item (%i), holds the operation and one of an address, a number at an end and a path, or
// holds these three.
func LooksLikeTransfer(text []byte) bool {
	const longest = 512 // the rest is the name of a file
	whole := len(text) <= longest
	var operation, addressed, counted, pathed bool
	n := 0
	for rest := text[:min(len(text), longest)]; len(rest) > 0; n++ {
		var word []byte
		word, rest, _ = bytes.Cut(rest, []byte(" "))
		last := len(rest) == 0 && whole
		switch {
		case (len(word) == 9 || len(word) == 11) && isItem(word):
			return true
		case isOperation(word):
			if n == 0 && len(rest) > 0 {
				return true
			}
			operation = true
		case isAddr(trimBrackets(word)) && bytes.Count(word, []byte(".")) != 1: // 1.5 is a number, v2.7 none of them
			addressed = true
		case (n == 0 || last) && allDigits(word):
			counted = true
		case bytes.IndexByte(word, '/') >= 0:
			pathed = true
		}
	}
	return operation && (addressed || counted || pathed) || addressed && counted && pathed
}

// isOperation says whether a word is %o.
func isOperation(word []byte) bool {
	return string(word) == "send" || string(word) == "recv" || string(word) == "del."
}

// trimBrackets takes one pair of brackets off an address.
func trimBrackets(word []byte) []byte {
	if n := len(word); n > 2 && (word[0] == '[' && word[n-1] == ']' || word[0] == '(' && word[n-1] == ')') {
		return word[1 : n-1]
	}
	return word
}
