// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"errors"
	"fmt"
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

// Bounds of what a template does: so many units of work for each byte that it may write. A byte that a function reads
// costs one, a node of the template that is executed workPerNode.
const (
	workPerByte = 8
	workPerNode = 16
)

// execute runs a template that may write limit bytes. A template that writes or does more is an error, at once: anybody
// who may edit a Machine could otherwise stop the server with {{range 1000000000}}{{end}}.
func execute(name, source string, d any, limit int) (string, error) {
	out := &boundedText{limit: limit}
	if !strings.Contains(source, "{{") {
		_, err := out.Write([]byte(source))
		return out.text.String(), err
	}
	m := &meter{left: limit * workPerByte}
	t, err := template.New(name).Option("missingkey=error").Funcs(m.functions()).Parse(source)
	if err != nil {
		return "", err
	}
	for _, part := range t.Templates() {
		m.charge(part.Tree.Root)
	}
	// Added after parsing, so that no template can call it.
	t.Funcs(template.FuncMap{chargeFunc: func(work int) (string, error) { return "", m.spend(work) }})
	if err := t.Execute(out, d); err != nil {
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
		return 0, fmt.Errorf("the result is longer than %d bytes", b.limit)
	}
	return b.text.Write(p)
}

// A meter counts the work that one execution may still do. text/template has no bound of its own and can't be
// interrupted, so a charge for its nodes is written into each list that can run more than once: the bodies of range and
// of named templates.
type meter struct{ left int }

const chargeFunc = "charge"

func (m *meter) spend(work int) error {
	if m.left -= work; m.left < 0 {
		return errors.New("the template does too much; use fewer loops and shorter texts")
	}
	return nil
}

// charge puts the price of a list before its nodes.
func (m *meter) charge(list *parse.ListNode) {
	price := int64(m.price(list)) * workPerNode
	command := &parse.CommandNode{NodeType: parse.NodeCommand, Args: []parse.Node{
		parse.NewIdentifier(chargeFunc),
		&parse.NumberNode{NodeType: parse.NodeNumber, IsInt: true, Int64: price, Text: strconv.FormatInt(price, 10)},
	}}
	list.Nodes = append([]parse.Node{&parse.ActionNode{
		NodeType: parse.NodeAction,
		Pipe:     &parse.PipeNode{NodeType: parse.NodePipe, Cmds: []*parse.CommandNode{command}},
	}}, list.Nodes...)
}

// price counts the nodes of a list that run at most once each time it runs, and charges for the others.
func (m *meter) price(list *parse.ListNode) int {
	if list == nil {
		return 0
	}
	nodes := 1
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.ActionNode:
			nodes += pipePrice(n.Pipe)
		case *parse.IfNode:
			nodes += pipePrice(n.Pipe) + m.price(n.List) + m.price(n.ElseList)
		case *parse.WithNode:
			nodes += pipePrice(n.Pipe) + m.price(n.List) + m.price(n.ElseList)
		case *parse.RangeNode:
			nodes += pipePrice(n.Pipe) + m.price(n.ElseList)
			m.charge(n.List)
		case *parse.TemplateNode:
			nodes += pipePrice(n.Pipe)
		default:
			nodes++
		}
	}
	return nodes
}

func pipePrice(pipe *parse.PipeNode) int {
	if pipe == nil {
		return 1
	}
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
