// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
)

// Bounds of what a template writes, in bytes: one kernel argument, and a whole configuration.
const (
	maxArgument = 4 << 10
	maxText     = 1 << 20
)

// Bounds of what a template does: baseWork units of work and workPerByte for each byte that it may write. A byte that a
// function reads costs one, a node in a loop workPerNode: some 16,000 empty rounds for a configuration, far below a second.
const (
	baseWork    = 128 << 10
	workPerByte = 8
	workPerNode = 256
)

// Bounds of what a template is: text/template recurses for each nested action, and an error inside nested ranges costs the
// square of their depth.
const (
	maxActions = 10_000
	maxNesting = 100
)

// A boundError says that a template went too far, and quotes nothing of it.
type boundError string

// Error returns the text.
func (e boundError) Error() string { return string(e) }

func boundf(format string, numbers ...int) error {
	values := make([]any, len(numbers))
	for i, n := range numbers {
		values[i] = n
	}
	return boundError(fmt.Sprintf(format, values...))
}

// errWork is what ends a template that does not end by itself.
const errWork = boundError("the template does too much; use fewer loops and shorter texts")

// execute runs a template that may write limit bytes. A template that writes or does more is an error, at once: anybody
// who may edit a Machine could otherwise stop the server with {{range 1000000000}}{{end}}.
func execute(name, source string, d any, limit int) (string, error) {
	out := &boundedText{limit: limit}
	switch actions := strings.Count(source, "{{"); {
	case actions == 0:
		_, err := out.Write([]byte(source))
		return out.text.String(), err
	case actions > maxActions:
		return "", boundf("the template has %d actions, more than %d", actions, maxActions)
	}
	m := &meter{left: baseWork + limit*workPerByte}
	t, err := template.New(name).Option("missingkey=error").Funcs(m.functions()).Parse(source)
	if err != nil {
		return "", err
	}
	if _, err := price(t.Root, 0); err != nil {
		return "", err
	}
	// Added after parsing, so that no template can call it.
	t.Funcs(template.FuncMap{chargeFunc: func(work int) (string, error) { return "", m.spend(work) }})
	if err := t.Execute(out, d); errors.Is(err, errWork) {
		return "", errWork
	} else if err != nil {
		return "", err
	}
	return out.text.String(), nil
}

// boundedText is a writer with a limit.
type boundedText struct {
	text  strings.Builder
	limit int // bytes
}

func (b *boundedText) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > b.limit {
		return 0, boundf("the result is longer than %d bytes", b.limit)
	}
	return b.text.Write(p)
}

// A meter counts the work that one execution may still do. text/template has no bound of its own and can't be
// interrupted, so a charge for its nodes is written into the body of each range. Nothing else runs more than once: named
// templates are refused.
type meter struct{ left int }

const chargeFunc = "charge"

func (m *meter) spend(work int) error {
	if m.left -= work; m.left < 0 {
		return errWork
	}
	return nil
}

// price counts the nodes of a list that run at most once each time it runs, and puts charges into the ranges in it.
func price(list *parse.ListNode, depth int) (nodes int, err error) {
	if list == nil {
		return 0, nil
	}
	if depth > maxNesting {
		return 0, boundf("the template nests more than %d actions", maxNesting)
	}
	for _, node := range list.Nodes {
		var branch *parse.BranchNode
		switch n := node.(type) {
		case *parse.ActionNode:
			nodes += pipePrice(n.Pipe)
		case *parse.IfNode:
			branch = &n.BranchNode
		case *parse.WithNode:
			branch = &n.BranchNode
		case *parse.RangeNode:
			branch = &n.BranchNode
		case *parse.TemplateNode:
			return 0, boundError("templates can't call others: no template and block actions")
		default:
			nodes++
		}
		if branch == nil {
			continue
		}
		body, err := price(branch.List, depth+1)
		if err != nil {
			return 0, err
		}
		orElse, err := price(branch.ElseList, depth+1)
		if err != nil {
			return 0, err
		}
		if branch.NodeType == parse.NodeRange {
			charge(branch.List, body)
			body = 0
		}
		nodes += pipePrice(branch.Pipe) + body + orElse
	}
	return nodes, nil
}

// charge puts the price of a list before its nodes.
func charge(list *parse.ListNode, nodes int) {
	work := int64(nodes+1) * workPerNode
	command := &parse.CommandNode{NodeType: parse.NodeCommand, Args: []parse.Node{
		parse.NewIdentifier(chargeFunc),
		&parse.NumberNode{NodeType: parse.NodeNumber, IsInt: true, Int64: work, Text: strconv.FormatInt(work, 10)},
	}}
	list.Nodes = slices.Insert(list.Nodes, 0, parse.Node(&parse.ActionNode{
		NodeType: parse.NodeAction,
		Pipe:     &parse.PipeNode{NodeType: parse.NodePipe, Cmds: []*parse.CommandNode{command}},
	}))
}

func pipePrice(pipe *parse.PipeNode) int {
	nodes := 1
	for _, command := range pipe.Cmds {
		for _, arg := range command.Args {
			if chain, ok := arg.(*parse.ChainNode); ok {
				arg = chain.Node
			}
			if inner, ok := arg.(*parse.PipeNode); ok {
				nodes += pipePrice(inner)
			}
			nodes++
		}
	}
	return nodes
}
