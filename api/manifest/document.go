// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// A document is one YAML document of a file.
type document struct {
	text   []byte
	before int // lines of the file before it
}

// split cuts a file before each line that starts a document, so that a fault in one leaves the others readable.
func split(text []byte) []document {
	docs := []document{{}}
	start, line := 0, 0
	for at := 0; at < len(text); line++ {
		end := len(text)
		if n := bytes.IndexByte(text[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		if rest, found := bytes.CutPrefix(text[at:end], []byte("---")); found && (len(rest) == 0 || rest[0] <= ' ') {
			docs[len(docs)-1].text = text[start:at]
			docs = append(docs, document{before: line})
			start = at
		}
		at = end
	}
	docs[len(docs)-1].text = text[start:]
	return docs
}

// parse returns the document's value, as JSON would have it, and its syntax tree, whose lines count from the
// document's first. Both are nil for a document without content.
//
// The value comes from the parser that kubectl uses, which reads YAML 1.1 ("yes" is true); the tree, which is used
// for places only, from the one that keeps them.
func (d document) parse() (value any, tree *yamlv3.Node, problems []Problem) {
	var root yamlv3.Node
	if err := yamlv3.Unmarshal(d.text, &root); err != nil {
		return nil, nil, []Problem{d.syntaxProblem(err)}
	}
	if root.Kind == 0 {
		return nil, nil, nil
	}
	tree = root.Content[0]
	if problems := d.duplicateKeys(tree, ""); len(problems) > 0 {
		return nil, tree, problems
	}
	asJSON, err := yaml.YAMLToJSON(d.text)
	if err == nil {
		err = utiljson.Unmarshal(asJSON, &value) // whole numbers become int64, as in the API server
	}
	if err != nil {
		return nil, tree, []Problem{d.syntaxProblem(err)}
	}
	return value, tree, nil
}

// syntaxProblem takes the line out of a parser's error.
//
// The two parsers tell different lines. For what can't be a token at all, the one with the tree tells where the token
// starts, and counts from 1. For a token in the wrong place it tells where the construct around it starts, and the
// other one tells the token's line, but counts from 0.
func (d document) syntaxProblem(err error) Problem {
	line, message := cutLine(err)
	if misplacedToken(message) {
		if _, err := yaml.YAMLToJSON(d.text); err != nil {
			line, message = cutLine(err)
			line++
		}
	}
	// A value of a Secret that starts with * reads as an anchor.
	message = reAnchor.ReplaceAllString(message, "anchor (a text that starts with * needs quotes)")
	last := bytes.Count(d.text, []byte("\n")) + 1
	return Problem{Line: d.before + min(max(line, 1), last), Message: message}
}

// reAnchor finds the only thing that the parsers quote in their errors.
var reAnchor = regexp.MustCompile(`anchor '.*'`)

// misplacedToken says whether the message of a YAML error comes from the parser proper, not from its scanner.
func misplacedToken(message string) bool {
	what, found := strings.CutPrefix(message, "did not find expected ")
	return found && slices.ContainsFunc([]string{"key", "node content", "'-' indicator", "',' or", "<"},
		func(token string) bool { return strings.HasPrefix(what, token) })
}

func cutLine(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	message = strings.TrimPrefix(message, "yaml: ")
	if rest, found := strings.CutPrefix(message, "line "); found {
		if number, rest, found := strings.Cut(rest, ": "); found {
			if n, err := strconv.Atoi(number); err == nil {
				return n, rest
			}
		}
	}
	return 0, message
}

// duplicateKeys reports the keys that a mapping holds twice: parsers differ in which one wins.
func (d document) duplicateKeys(n *yamlv3.Node, path string) (problems []Problem) {
	switch n.Kind {
	case yamlv3.SequenceNode:
		for i, item := range n.Content {
			problems = append(problems, d.duplicateKeys(item, fmt.Sprintf("%s[%d]", path, i))...)
		}
	case yamlv3.MappingNode:
		first := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			below := strings.TrimPrefix(path+"."+key.Value, ".")
			if line, twice := first[key.Value]; twice {
				problems = append(problems, Problem{Line: d.before + key.Line, Column: key.Column, Field: below,
					Message: fmt.Sprintf("key is already set in line %d", line)})
			} else {
				first[key.Value] = d.before + key.Line
			}
			problems = append(problems, d.duplicateKeys(n.Content[i+1], below)...)
		}
	}
	return problems
}

// place returns where in the file the field is; if it is not there, where the nearest field around it is.
func (d document) place(tree *yamlv3.Node, path string) (line, column int) {
	line, column = tree.Line, tree.Column
	for _, step := range steps(path) {
		key, value := child(tree, step)
		if value == nil {
			break
		}
		line, column = key.Line, key.Column
		tree = value
	}
	return d.before + line, column
}

// child returns the value below n that step names, and the node at which a person would look for it. The value is nil
// when there is none.
func child(n *yamlv3.Node, step string) (key, value *yamlv3.Node) {
	if n.Kind == yamlv3.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yamlv3.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i]
		}
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i], n.Content[i+1]
			}
		}
	}
	return nil, nil
}

// steps takes the path of a field.Error apart: spec.variables[a.b] is spec, variables, a.b.
func steps(path string) (all []string) {
	for path != "" {
		var step string
		if inner, found := strings.CutPrefix(path, "["); found {
			step, path, _ = strings.Cut(inner, "]")
		} else {
			path = strings.TrimPrefix(path, ".")
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			step, path = path[:end], path[end:]
		}
		all = append(all, step)
	}
	return all
}
