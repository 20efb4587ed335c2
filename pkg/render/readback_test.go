// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"fmt"
	"strings"
)

// These readers do what the loaders and the kernel do, as told by their sources, independently of the package: what they
// read is what a machine would boot with.

// A reading is what a loader makes of a configuration.
type reading struct {
	commands []string // in order, each with its words but for the kernel's arguments
	cmdline  string   // what the kernel gets
}

// readPXELINUX takes each line for a keyword and a literal.
func readPXELINUX(text string) (reading, error) {
	var r reading
	for line := range strings.Lines(text) {
		line = strings.TrimLeft(strings.TrimSuffix(line, "\n"), " \t")
		keyword, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || line[0] == '#':
			continue
		case strings.EqualFold(keyword, "APPEND"):
			r.cmdline = rest
			rest = ""
		}
		r.commands = append(r.commands, keyword+" "+rest)
	}
	return r, nil
}

// readGRUB splits a script into commands and words, and rebuilds the command line as GRUB's linux command does.
func readGRUB(text string) (reading, error) {
	var r reading
	commands, err := lexGRUB(text)
	if err != nil {
		return r, err
	}
	for _, words := range commands {
		if words[0] == "linux" {
			var rebuilt []string
			for _, word := range words[2:] {
				rebuilt = append(rebuilt, rebuildGRUB(word))
			}
			r.cmdline = strings.Join(rebuilt, " ")
			words = words[:2]
		}
		r.commands = append(r.commands, strings.Join(words, " "))
	}
	return r, nil
}

// lexGRUB knows single quotes, and a backslash before a single quote; any other character with a meaning is an error.
func lexGRUB(text string) ([][]string, error) {
	var commands [][]string
	var words []string
	var word strings.Builder
	inWord := false
	endWord := func() {
		if inWord {
			words = append(words, word.String())
			word.Reset()
			inWord = false
		}
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\'':
			end := strings.IndexByte(text[i+1:], '\'')
			if end < 0 {
				return nil, fmt.Errorf("open quote at %d", i)
			}
			word.WriteString(text[i+1 : i+1+end])
			inWord = true
			i += 1 + end
		case '\\':
			i++
			if i == len(text) || text[i] != '\'' {
				return nil, fmt.Errorf("backslash at %d", i)
			}
			word.WriteByte('\'')
			inWord = true
		case ' ':
			endWord()
		case '\n':
			endWord()
			if words != nil {
				commands = append(commands, words)
				words = nil
			}
		case '#':
			if !inWord {
				for i+1 < len(text) && text[i+1] != '\n' {
					i++
				}
				continue
			}
			word.WriteByte(c)
		default:
			if strings.IndexByte("\"$;|&<>{}()*?[]~!`\t\r", c) >= 0 || c < ' ' || c > '~' {
				return nil, fmt.Errorf("bare %q at %d", c, i)
			}
			word.WriteByte(c)
			inWord = true
		}
	}
	return commands, nil
}

func rebuildGRUB(word string) string {
	isHex := func(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		hexEscape := word[i] == '\\' && i+3 < len(word) && word[i+1] == 'x' && isHex(word[i+2]) && isHex(word[i+3])
		if !hexEscape && strings.IndexByte(`\'"`, word[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(word[i])
	}
	if strings.Contains(word, " ") {
		return `"` + b.String() + `"`
	}
	return b.String()
}

// readIPXE joins continued lines, splits commands, and refuses an expansion, as these configurations have none.
func readIPXE(text string) (reading, error) {
	var r reading
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\\\n", ""), "\n") {
		var command []string
		end := func() {
			if len(command) > 3 && command[0] == "kernel" {
				words := command[4:]
				for len(words) > 0 && strings.HasPrefix(words[0], "initrd=initrd") {
					words = words[1:]
				}
				r.cmdline = strings.Join(words, " ")
				command = command[:4]
			}
			if command != nil {
				r.commands = append(r.commands, strings.Join(command, " "))
				command = nil
			}
		}
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }) {
			if word[0] == '#' {
				break
			}
			if strings.Contains(word, "${") {
				return r, fmt.Errorf("expansion in %q", word)
			}
			if word == ";" || word == "&&" || word == "||" {
				end()
				continue
			}
			command = append(command, word)
		}
		end()
	}
	return r, nil
}

// A parameter is what the kernel makes of an argument.
type parameter struct {
	Name, Value string
	HasValue    bool
}

// readKernel splits a command line as next_arg of the kernel's lib/cmdline.c does, byte by byte.
func readKernel(cmdline string) []parameter {
	isSpace := func(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' || c == 0xA0 }
	var all []parameter
	for i := 0; ; {
		for i < len(cmdline) && isSpace(cmdline[i]) {
			i++
		}
		if i == len(cmdline) {
			return all
		}
		start, quoted := i, false
		for ; i < len(cmdline) && (quoted || !isSpace(cmdline[i])); i++ {
			if cmdline[i] == '"' {
				quoted = !quoted
			}
		}
		arg := cmdline[start:i]
		if after, ok := strings.CutPrefix(arg, `"`); ok {
			arg = strings.TrimSuffix(after, `"`)
		}
		name, value, hasValue := strings.Cut(arg, "=")
		if after, ok := strings.CutPrefix(value, `"`); ok {
			value = strings.TrimSuffix(after, `"`)
		}
		all = append(all, parameter{name, value, hasValue})
	}
}
