// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
)

// A debian is a package that files of the image came from: a line of what hack/loaders.sh writes.
type debian struct {
	name, version, architecture, release string
	sources                              []string // "NAME (= VERSION)"
	licence                              string   // SPDX
}

func parsePackages(text string) ([]debian, error) {
	var all []debian
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 6 || slices.Contains(f, "") {
			return nil, fmt.Errorf("%q: want six columns divided by tabs", line)
		}
		all = append(all, debian{f[0], f[1], f[2], f[3], strings.Split(f[4], ", "), f[5]})
	}
	if len(all) == 0 {
		return nil, errors.New("it is empty")
	}
	return all, nil
}

// purl returns the package's URL as scanners for vulnerabilities know it.
func (d debian) purl() string {
	return fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=debian-%s", d.name, url.QueryEscape(d.version), d.architecture, d.release)
}

// component returns the package as CycloneDX has it, and says where its sources are.
func (d debian) component() (map[string]any, error) {
	var references []any
	for _, s := range d.sources {
		name, version, ok := strings.Cut(strings.TrimSuffix(s, ")"), " (= ")
		if !ok {
			return nil, fmt.Errorf("package %s: source %q: want NAME (= VERSION)", d.name, s)
		}
		references = append(references, map[string]any{
			"type": "source-distribution", "url": "https://snapshot.debian.org/package/" + name + "/" + url.PathEscape(version) + "/",
		})
	}
	return map[string]any{
		"bom-ref": d.purl(), "type": "library", "name": d.name, "version": d.version, "purl": d.purl(),
		"licenses":           []any{map[string]any{"license": map[string]any{"id": d.licence}}},
		"externalReferences": references,
	}, nil
}

// A bom is what CycloneDX says of something. Only what is changed here has a name.
type bom struct {
	Metadata     map[string]any   `json:"metadata"`
	Components   []map[string]any `json:"components"`
	Dependencies []dependency     `json:"dependencies"`

	rest map[string]json.RawMessage
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

func parseBOM(text []byte) (*bom, error) {
	var b bom
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &b.rest); err != nil {
		return nil, err
	}
	if program, _ := b.Metadata["component"].(map[string]any); program["bom-ref"] == nil {
		return nil, errors.New("it is of no component")
	}
	return &b, nil
}

func (b *bom) marshal() ([]byte, error) {
	all := map[string]any{}
	for key, value := range b.rest {
		all[key] = value
	}
	all["metadata"], all["components"], all["dependencies"] = b.Metadata, b.Components, b.Dependencies
	text, err := json.MarshalIndent(all, "", "  ")
	return append(text, '\n'), err
}

// describeImage turns the SBOM of the program into that of an image: the program becomes a component, beside the packages.
func (b *bom) describeImage(version, architecture string, packages []debian) error {
	program, _ := b.Metadata["component"].(map[string]any)
	oldRef, _ := program["bom-ref"].(string)
	// The commit stood in the version's place: the tool knows no other before a tag.
	program["version"] = version
	program["purl"] = fmt.Sprintf("pkg:golang/%v@%s?goarch=%s&goos=linux&type=module#cmd/netboot", program["name"], version, architecture)
	program["bom-ref"] = program["purl"]
	programRef, _ := program["purl"].(string)
	for i := range b.Dependencies {
		if b.Dependencies[i].Ref == oldRef {
			b.Dependencies[i].Ref = programRef
		}
	}
	imageRef := fmt.Sprintf("pkg:oci/netboot-operator@%s?arch=%s&repository_url=%s", version, architecture, url.QueryEscape(repository))
	contents := []string{programRef}
	b.Components = append([]map[string]any{program}, b.Components...)
	for _, p := range packages {
		component, err := p.component()
		if err != nil {
			return err
		}
		b.Components = append(b.Components, component)
		b.Dependencies = append(b.Dependencies, dependency{Ref: p.purl()})
		contents = append(contents, p.purl())
	}
	b.Dependencies = append(b.Dependencies, dependency{Ref: imageRef, DependsOn: contents})
	b.Metadata["component"] = map[string]any{
		"bom-ref": imageRef, "type": "container", "name": repository, "version": version, "purl": imageRef,
	}
	return nil
}

// misses returns the modules that a program was built from and that the SBOM does not name.
func (b *bom) misses(program *buildinfo.BuildInfo) []string {
	missing := map[string]bool{}
	for _, m := range program.Deps {
		missing[m.Path+"@"+m.Version] = true
	}
	for _, c := range b.Components {
		delete(missing, fmt.Sprintf("%v@%v", c["name"], c["version"]))
	}
	return slices.Sorted(maps.Keys(missing))
}

func runSBOM(args []string) error {
	flags := flag.NewFlagSet("image sbom", flag.ContinueOnError)
	in := flags.String("in", "", "`file`: the SBOM of the program, of cyclonedx-gomod app -json")
	program := flags.String("program", "", "`linux/ARCHITECTURE=FILE`: the program, whose modules the SBOM must name")
	packages := flags.String("packages", "", "`file`: the Debian packages, of hack/loaders.sh")
	version := flags.String("version", "", "`version` of the image")
	out := flags.String("out", "", "`file` to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	text, err := os.ReadFile(*packages)
	if err != nil {
		return fmt.Errorf("-packages: %w", err)
	}
	debians, err := parsePackages(string(text))
	if err != nil {
		return fmt.Errorf("-packages=%s: %w", *packages, err)
	}
	text, err = os.ReadFile(*in)
	if err != nil {
		return fmt.Errorf("-in: %w", err)
	}
	b, err := parseBOM(text)
	if err != nil {
		return fmt.Errorf("-in=%s: %w", *in, err)
	}
	p, err := parsePlatform(*program)
	if err != nil {
		return fmt.Errorf("-program=%s: %w", *program, err)
	}
	built, err := buildinfo.ReadFile(p.program)
	if err != nil {
		return fmt.Errorf("-program: %w", err)
	}
	if missing := b.misses(built); len(missing) > 0 {
		return fmt.Errorf("-in=%s does not name modules of %s: %s", *in, p.program, strings.Join(missing, ", "))
	}
	if err := b.describeImage(*version, p.architecture, debians); err != nil {
		return err
	}
	text, err = b.marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(*out, text, 0o644)
}
