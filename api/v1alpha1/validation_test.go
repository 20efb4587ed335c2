// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/netboot-operator/netboot-operator/api/manifest"
	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/test/controlplane"
)

var server controlplane.Server //nolint:gochecknoglobals // TestMain must stop it

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

// A row is one object: the fields of its spec, in YAML, that differ from the smallest good one.
type row struct {
	kind string
	spec string
	want []string // "FIELD: MESSAGE" of each error; empty: accepted
}

func machine(spec string, want ...string) row     { return row{"Machine", spec, want} }
func bootProfile(spec string, want ...string) row { return row{"BootProfile", spec, want} }

// kernel returns a BootProfile with one platform, whose kernel has the given fields besides url and sha256.
func kernel(fields string, want ...string) row {
	return bootProfile("platforms: [{architecture: amd64, kernel: {"+fields+"}}]", want...)
}

// config returns a Machine with one config.
func config(fields string, want ...string) row { return machine("configs: [{"+fields+"}]", want...) }

const (
	hexDigest = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	artifact  = "{url: 'http://mirror/f', sha256: " + hexDigest + "}"
	notRun    = "<nil>: some validation rules were not checked because the object was invalid; " +
		"correct the existing errors to complete validation"
)

func accepted() map[string]row {
	return map[string]row{
		"the smallest Machine":                       machine(""),
		"a MAC address in capitals and dashes":       machine("macAddresses: ['52-54-00-AA-BB-01']"),
		"sixteen MAC addresses":                      machine("macAddresses: [" + numbered(16, "'52:54:00:aa:bb:%02x'") + "]"),
		"two MAC addresses that differ in one digit": machine("macAddresses: ['52:54:00:aa:bb:01', '52:54:00:aa:bb:02']"),
		"a systemUUID in capitals":                   machine("systemUUID: A1B2C3D4-E5F6-4788-99AA-BBCCDDEEFF00"),
		"a serialNumber with a space inside":         machine("serialNumber: 'S/N 42-a'"),
		"a serialNumber of one character":            machine("serialNumber: 'x'"),
		"a fully qualified hostname":                 machine("hostname: node-01.example.com"),
		"the architecture 386":                       machine("architecture: '386'"),
		"a profileRef":                               machine("profileRef: {name: debian-12}"),
		"each bootPolicy but the default":            machine("bootPolicy: Continuous"),
		"the bootPolicy Disabled":                    machine("bootPolicy: Disabled"),
		"a bootID like a timestamp":                  machine("bootID: 2026-01-02T03.04.05Z"),
		"completeOn Callback":                        machine("completeOn: Callback"),
		"completeOn PayloadServed":                   machine("completeOn: PayloadServed"),
		"kernelArgs with a removal and two consoles": machine("kernelArgs: [-quiet, console=tty0, 'console=ttyS1,115200n8']"),
		"a kernelArg with quoted spaces":             machine(`kernelArgs: ['a="b c"']`),
		"variables":                                  machine("variables: {rack: r12, _a9: 'ü x'}"),
		"a variable whose name has 63 characters":    machine("variables: {" + strings.Repeat("a", 63) + ": x}"),
		"an empty variable":                          machine("variables: {a: ''}"),
		"a config with a template":                   config("name: kickstart, template: ''"),
		"a config from a ConfigMap":                  config("name: user-data, configMapKeyRef: {name: a, key: b}"),
		"a config from a Secret, for the network":    config("name: a.b_c, secretKeyRef: {name: a, key: b}, access: Network"),
		"a contentType with a parameter":             config("name: a, template: x, contentType: 'application/json; charset=utf-8'"),

		"the smallest BootProfile": bootProfile(""),
		"a platform for each architecture": bootProfile("platforms: [" + strings.Join([]string{
			"{architecture: amd64, kernel: " + artifact + ", initrds: [" + artifact + "," + artifact + "]}",
			"{architecture: arm64, uki: " + artifact + "}",
			"{architecture: arm, kernel: " + artifact + ", deviceTree: " + artifact + "}",
			"{architecture: riscv64, kernel: " + artifact + ", initrds: []}",
			"{architecture: '386', kernel: " + artifact + ", loader: {bios: pxelinux.0, uefi: a/b+c_d-e.efi}}",
		}, ",") + "]"),
		"an artifact without a digest, said so":   kernel("url: 'https://mirror/vmlinuz', insecureSkipVerify: true"),
		"an artifact with insecureSkipVerify off": kernel("url: 'https://mirror/vmlinuz', insecureSkipVerify: false, sha256: " + hexDigest),
		"an artifact in a folder":                 kernel("url: 'file:///debian/vmlinuz', sha256: " + hexDigest),
		"an artifact in a registry":               kernel("url: 'oci://registry.example.com/boot:1', sha256: " + hexDigest),
		"a layer of an artifact in a registry":    kernel("url: 'oci://[::1]:5000/a/b_c.d@sha256:" + hexDigest + "?plainHTTP=true#title=a%26b+c', sha256: " + hexDigest),
		"an artifact with a Secret":               kernel("url: 'https://mirror/vmlinuz', secretRef: {name: mirror}, sha256: " + hexDigest),
		"a file in an image": kernel("url: 'oci://ghcr.io/lab/os:v1.2_3@sha256:" + hexDigest +
			"#path=boot/vmlinuz&platform=linux/arm/v7', sha256: " + hexDigest),
		"an artifact with a port and a query": kernel("url: 'http://[2001:db8::1]:8000/a?b=c@d', sha256: " + hexDigest),
		"four mirrors":                        kernel("url: 'http://a/b', sha256: " + hexDigest + ", mirrors: [" + numbered(4, "'http://m%d/b'") + "]"),
		"loader files": bootProfile("platforms: [{architecture: amd64, kernel: " + artifact +
			", loader: {files: [{name: shimx64.efi, url: 'http://a/b', sha256: " + hexDigest + "}]}}]"),
		"a file in a folder":            bootProfile("files: [{path: overlays/vc4.dtbo, url: 'http://a/b', sha256: " + hexDigest + "}]"),
		"whole templates":               bootProfile("templates: {pxelinux: a, grub: b, ipxe: c}"),
		"payloadProtocol and localBoot": bootProfile("{payloadProtocol: TFTP, localBoot: ChainloadESP}"),
		"a profile's kernelArgs":        bootProfile("kernelArgs: ['ip=dhcp', 'hostname={{ .Machine.Hostname }}']"),
		"a profile's config":            bootProfile("configs: [{name: kickstart, template: x}]"),
	}
}

func rejected() map[string]row {
	const (
		badMAC        = ": a MAC address is six pairs of hex digits, such as 52:54:00:aa:bb:01"
		groupMAC      = ": this is a multicast or the zero address, which no interface can have: use the one printed by ip link or on the machine's label"
		twiceMAC      = "spec.macAddresses: the same MAC address is listed twice (upper and lower case, ':' and '-' do not differ): remove one"
		badUUID       = "spec.systemUUID: systemUUID must be a UUID such as a1b2c3d4-e5f6-4788-99aa-bbccddeeff00, as printed by: dmidecode -s system-uuid"
		sharedUUID    = "spec.systemUUID: this systemUUID is a placeholder that many machines share: leave the field out"
		badSerial     = "spec.serialNumber: serialNumber must be printable ASCII without space at either end"
		badHost       = "spec.hostname: hostname must be a DNS name in lower case, such as node-01 or node-01.example.com"
		badBootID     = "spec.bootID: bootID may hold letters, digits, '.', '_' and '-'"
		badVarName    = "spec.variables: the name of a variable must be letters, digits and '_', not start with a digit, and have at most 63 characters"
		badArg        = ": a kernel argument must be one line without control characters: make each argument an item of its own"
		badConfig     = "spec.configs[0].name: name may hold letters, digits, '.', '_' and '-', and must start and end with a letter or digit"
		badType       = "spec.configs[0].contentType: contentType must be a media type such as text/plain or application/json; charset=utf-8"
		oneSource     = "spec.configs[0]: exactly one of the fields in [template configMapKeyRef secretKeyRef] must be set"
		badPath       = ": a path is names of letters, digits, '.', '_', '+' and '-' separated by '/', none starting with '.' or '-', without a leading '/'"
		at            = "spec.platforms[0].kernel"
		oneDigest     = ": set sha256 (sha256sum FILE prints it), or insecureSkipVerify: true for a file without a known digest; one of the two"
		badDigest     = at + ".sha256: sha256 must be 64 lower-case hex digits, as printed by: sha256sum FILE"
		badURL        = at + ".url: url must start with http://HOST, https://HOST, oci://HOST or file:/// and hold no spaces or control characters (write a space as %20)"
		ociURL        = " with oci must name a tag or a digest: oci://HOST/REPOSITORY:TAG or oci://HOST/REPOSITORY@sha256:HEX, then #title=NAME or #path=PATH if need be"
		userURL       = at + ".url: url must not hold a user name or password: remove the part before @"
		oneKernel     = "spec.platforms[0]: set kernel (and initrds), or uki for a unified kernel image; one of the two"
		noKernel      = "spec.platforms[0]: initrds need a kernel: set kernel, or remove initrds (a uki holds its own)"
		architectures = `supported values: "amd64", "arm64", "386", "arm", "riscv64"`
	)
	digest := "sha256: " + hexDigest
	return map[string]row{
		"a MAC address is missing":              machine("macAddresses: null", "spec.macAddresses: Required value", notRun),
		"no MAC address":                        machine("macAddresses: []", "spec.macAddresses: spec.macAddresses in body should have at least 1 items"),
		"seventeen MAC addresses":               machine("macAddresses: ["+numbered(17, "'52:54:00:aa:bb:%02x'")+"]", "spec.macAddresses: must have at most 16 items", notRun),
		"a MAC address with a letter too far":   machine("macAddresses: ['52:54:00:aa:bb:0g']", "spec.macAddresses[0]"+badMAC),
		"a MAC address with mixed separators":   machine("macAddresses: ['52:54:00-aa-bb-01']", "spec.macAddresses[0]"+badMAC),
		"a MAC address in Cisco's form":         machine("macAddresses: ['5254.00aa.bb01']", "spec.macAddresses[0]: spec.macAddresses[0] in body should be at least 17 chars long", "spec.macAddresses[0]"+badMAC),
		"an InfiniBand address":                 machine("macAddresses: ['52:54:00:aa:bb:01:02:03']", "spec.macAddresses[0]: may not be more than 17 bytes", notRun),
		"a multicast address":                   machine("macAddresses: ['01:00:5e:00:00:01']", "spec.macAddresses[0]"+groupMAC),
		"the broadcast address":                 machine("macAddresses: ['FF-FF-FF-FF-FF-FF']", "spec.macAddresses[0]"+groupMAC),
		"the zero address":                      machine("macAddresses: ['00:00:00:00:00:00']", "spec.macAddresses[0]"+groupMAC),
		"one MAC address written in two ways":   machine("macAddresses: ['52:54:00:aa:bb:01', '52-54-00-AA-BB-01']", twiceMAC),
		"one MAC address twice":                 machine("macAddresses: ['52:54:00:aa:bb:01', '52:54:00:aa:bb:01']", "spec.macAddresses[1]: ", twiceMAC),
		"a systemUUID without dashes":           machine("systemUUID: a1b2c3d4e5f6478899aabbccddeeff00", badUUID),
		"an empty systemUUID":                   machine("systemUUID: ''", badUUID, sharedUUID),
		"a systemUUID of zeros":                 machine("systemUUID: 00000000-0000-0000-0000-000000000000", sharedUUID),
		"a systemUUID of ones":                  machine("systemUUID: FFFFFFFF-ffff-FFFF-FFFF-FFFFFFFFFFFF", sharedUUID),
		"a systemUUID that is too long":         machine("systemUUID: '{a1b2c3d4-e5f6-4788-99aa-bbccddeeff00}'", "spec.systemUUID: may not be more than 36 bytes", notRun),
		"a serialNumber that ends in a space":   machine("serialNumber: 'abc '", badSerial),
		"an empty serialNumber":                 machine("serialNumber: ''", badSerial),
		"a serialNumber with an umlaut":         machine("serialNumber: 'ü1'", badSerial),
		"a serialNumber that is too long":       machine("serialNumber: "+strings.Repeat("x", 65), "spec.serialNumber: may not be more than 64 bytes", notRun),
		"an architecture in uname's words":      machine("architecture: x86_64", "spec.architecture: "+architectures, notRun),
		"a hostname in capitals":                machine("hostname: Node-01", badHost),
		"a hostname that ends in a dot":         machine("hostname: node-01.", badHost),
		"a hostname with a label of 64":         machine("hostname: "+strings.Repeat("a", 64), badHost),
		"a hostname that is too long":           machine("hostname: "+strings.Repeat("a", 254), "spec.hostname: may not be more than 253 bytes", notRun),
		"a profileRef without a name":           machine("profileRef: {}", "spec.profileRef.name: Required value", notRun),
		"a profileRef with an empty name":       machine("profileRef: {name: ''}", "spec.profileRef.name: spec.profileRef.name in body should be at least 1 chars long"),
		"an unknown bootPolicy":                 machine("bootPolicy: Always", `spec.bootPolicy: supported values: "Once", "Continuous", "Disabled"`, notRun),
		"a bootID with a slash":                 machine("bootID: a/b", badBootID),
		"an empty bootID":                       machine("bootID: ''", "spec.bootID: spec.bootID in body should be at least 1 chars long", badBootID),
		"a bootID that is a number":             machine("bootID: 2", `spec.bootID: spec.bootID in body must be of type string: "integer"`, notRun),
		"a bootID that is too long":             machine("bootID: "+strings.Repeat("x", 65), "spec.bootID: may not be more than 64 bytes", notRun),
		"an unknown completeOn":                 machine("completeOn: Booted", `spec.completeOn: supported values: "Callback", "PayloadServed"`, notRun),
		"a Machine's kernelArg of two lines":    machine(`kernelArgs: [ok, "a\nb"]`, "spec.kernelArgs[1]"+badArg),
		"an empty kernelArg":                    machine("kernelArgs: ['']", "spec.kernelArgs[0]: spec.kernelArgs[0] in body should be at least 1 chars long"),
		"a kernelArg that is too long":          machine("kernelArgs: ["+strings.Repeat("x", 1025)+"]", "spec.kernelArgs[0]: may not be more than 1024 bytes", notRun),
		"too many kernelArgs":                   machine("kernelArgs: ["+numbered(65, "a%d")+"]", "spec.kernelArgs: must have at most 64 items", notRun),
		"a variable whose name has a dash":      machine("variables: {a-b: x}", badVarName),
		"a variable whose name starts with 9":   machine("variables: {9a: x}", badVarName),
		"a variable whose name is too long":     machine("variables: {"+strings.Repeat("a", 64)+": x}", badVarName),
		"a variable of two lines":               machine(`variables: {motd: "a\nb"}`, "spec.variables[motd]: a variable must be one line without control characters"),
		"a variable that is too long":           machine("variables: {a: "+strings.Repeat("x", 1025)+"}", "spec.variables.a: may not be more than 1024 bytes", notRun),
		"too many variables":                    machine("variables: {"+numbered(65, "a%d: x")+"}", "spec.variables: must have at most 64 items", notRun),
		"a config with a slash in its name":     config("name: a/b, template: x", badConfig),
		"a config with a name of dots":          config("name: '..', template: x", badConfig),
		"a config with a name that is too long": config("name: "+strings.Repeat("a", 64)+", template: x", "spec.configs[0].name: may not be more than 63 bytes", notRun),
		"two configs with one name":             machine("configs: [{name: a, template: x}, {name: a, template: z}]", "spec.configs[1]: "),
		"too many configs":                      machine("configs: ["+numbered(17, "{name: a%d, template: x}")+"]", "spec.configs: must have at most 16 items", notRun),
		"a config without a source":             config("name: a", oneSource),
		"a config with two sources":             config("name: a, template: x, secretKeyRef: {name: a, key: b}", oneSource),
		"a config with a source without a key":  config("name: a, secretKeyRef: {name: a}", "spec.configs[0].secretKeyRef.key: Required value", notRun),
		"a config with an unknown access":       config("name: a, template: x, access: Public", `spec.configs[0].access: supported values: "Token", "Network"`, notRun),
		"a contentType that splits the header":  config(`name: a, template: x, contentType: "text/plain\r\nX: y"`, badType),
		"a contentType without a subtype":       config("name: a, template: x, contentType: text", badType),
		"a template that is too long":           config("name: a, template: "+strings.Repeat("x", 65537), "spec.configs[0].template: may not be more than 65536 bytes", notRun),

		"a profile without platforms":            bootProfile("platforms: null", "spec.platforms: Required value", notRun),
		"a profile with no platform":             bootProfile("platforms: []", "spec.platforms: spec.platforms in body should have at least 1 items"),
		"two platforms of one architecture":      bootProfile("platforms: [{architecture: amd64, kernel: "+artifact+"}, {architecture: amd64, uki: "+artifact+"}]", "spec.platforms[1]: "),
		"a platform of no architecture":          bootProfile("platforms: [{kernel: "+artifact+"}]", "spec.platforms[0].architecture: Required value", notRun),
		"a platform with nothing to boot":        bootProfile("platforms: [{architecture: amd64}]", oneKernel),
		"a platform with a kernel and a uki":     bootProfile("platforms: [{architecture: amd64, kernel: "+artifact+", uki: "+artifact+"}]", oneKernel),
		"a uki with initrds":                     bootProfile("platforms: [{architecture: amd64, uki: "+artifact+", initrds: ["+artifact+"]}]", noKernel),
		"too many initrds":                       bootProfile("platforms: [{architecture: amd64, kernel: "+artifact+", initrds: ["+numbered(9, "{url: 'http://a/%d', "+digest+"}")+"]}]", "spec.platforms[0].initrds: must have at most 8 items", notRun),
		"an artifact without a digest":           kernel("url: 'http://a/b'", at+oneDigest),
		"an artifact with insecureSkipVerify no": kernel("url: 'http://a/b', insecureSkipVerify: false", at+oneDigest),
		"a digest that is not to be verified":    kernel("url: 'http://a/b', insecureSkipVerify: true, "+digest, at+oneDigest),
		"an initrd without a digest":             bootProfile("platforms: [{architecture: amd64, kernel: "+artifact+", initrds: ["+artifact+", {url: 'http://a/b'}]}]", "spec.platforms[0].initrds[1]"+oneDigest),
		"a secretRef without a name":             kernel("url: 'http://a/b', secretRef: {}, "+digest, at+".secretRef.name: Required value", notRun),
		"a secretRef with an empty name":         kernel("url: 'http://a/b', secretRef: {name: ''}, "+digest, at+".secretRef.name: "+at+".secretRef.name in body should be at least 1 chars long"),
		"a digest in capitals":                   kernel("url: 'http://a/b', sha256: "+strings.ToUpper(hexDigest), badDigest),
		"a digest that is too short":             kernel("url: 'http://a/b', sha256: "+hexDigest[1:]+"", at+".sha256: "+at+".sha256 in body should be at least 64 chars long", badDigest),
		"a digest with its algorithm":            kernel("url: 'http://a/b', sha256: 'sha256:"+hexDigest+"'", at+".sha256: may not be more than 64 bytes", notRun),
		"an artifact without a URL":              kernel(digest, at+".url: Required value", notRun),
		"a URL of another scheme":                kernel("url: 'ftp://mirror/vmlinuz', "+digest, badURL),
		"a URL without a host":                   kernel("url: 'http:///vmlinuz', "+digest, badURL),
		"a file URL with a host":                 kernel("url: 'file://host/vmlinuz', "+digest, badURL),
		"a URL with a space":                     kernel("url: 'http://a/b c', "+digest, badURL),
		"a URL with a password":                  kernel("url: 'http://user:secret@a/b', "+digest, userURL),
		"a URL that is too long":                 kernel("url: 'http://a/"+strings.Repeat("x", 2040)+"', "+digest, at+".url: may not be more than 2048 bytes", notRun),
		"a registry without a version":           kernel("url: 'oci://ghcr.io/boot', "+digest, at+".url: a url"+ociURL),
		"a registry with a tag behind the #":     kernel("url: 'oci://ghcr.io:5000/boot#path=a:b', "+digest, at+".url: a url"+ociURL),
		"a mirror in a registry without version": kernel("url: 'http://a/b', mirrors: ['oci://ghcr.io/boot'], "+digest, at+".mirrors[0]: a mirror"+ociURL),
		"a mirror with a password":               kernel("url: 'http://a/b', mirrors: ['http://u:p@a/b'], "+digest, at+".mirrors[0]: a mirror must not hold a user name or password: remove the part before @"),
		"a mirror with a space":                  kernel("url: 'http://a/b', mirrors: ['http://a/b c'], "+digest, at+".mirrors[0]: a mirror must start with http://HOST, https://HOST, oci://HOST or file:/// and hold no spaces or control characters (write a space as %20)"),
		"one mirror twice":                       kernel("url: 'http://a/b', mirrors: ['http://c/b', 'http://c/b'], "+digest, at+".mirrors[1]: "),
		"five mirrors":                           kernel("url: 'http://a/b', mirrors: ["+numbered(5, "'http://m%d/b'")+"], "+digest, at+".mirrors: must have at most 4 items", notRun),
		"a loader with a leading slash":          bootProfile("platforms: [{architecture: amd64, kernel: "+artifact+", loader: {bios: /pxelinux.0}}]", "spec.platforms[0].loader.bios"+badPath),
		"a loader above its folder":              bootProfile("platforms: [{architecture: amd64, kernel: "+artifact+", loader: {uefi: ../a.efi}}]", "spec.platforms[0].loader.uefi"+badPath),
		"a loader file with an empty part":       bootProfile("platforms: [{architecture: amd64, kernel: "+artifact+", loader: {files: [{name: a//b, url: 'http://a/b', "+digest+"}]}}]", "spec.platforms[0].loader.files[0].name"+badPath),
		"a file above its folder":                bootProfile("files: [{path: a/../b, url: 'http://a/b', "+digest+"}]", "spec.files[0].path"+badPath),
		"a file whose path is too long":          bootProfile("files: [{path: "+strings.Repeat("a", 129)+", url: 'http://a/b', "+digest+"}]", "spec.files[0].path: may not be more than 128 bytes", notRun),
		"a file without a digest":                bootProfile("files: [{path: a, url: 'http://a/b'}]", "spec.files[0]"+oneDigest),
		"two files with one path":                bootProfile("files: [{path: a, url: 'http://a/b', "+digest+"}, {path: a, url: 'http://a/c', "+digest+"}]", "spec.files[1]: "),
		"a whole template that is too long":      bootProfile("templates: {grub: "+strings.Repeat("x", 65537)+"}", "spec.templates.grub: may not be more than 65536 bytes", notRun),
		"an unknown payloadProtocol":             bootProfile("payloadProtocol: NFS", `spec.payloadProtocol: supported values: "Auto", "HTTP", "TFTP"`, notRun),
		"an unknown localBoot":                   bootProfile("localBoot: Disk", `spec.localBoot: supported values: "Exit", "SanBoot", "NotFound", "ChainloadESP"`, notRun),
		"a profile's kernelArg of two lines":     bootProfile(`kernelArgs: ["a\nb"]`, "spec.kernelArgs[0]"+badArg),
	}
}

// numbered returns count items in YAML, made from format and the numbers from 0.
func numbered(count int, format string) string {
	var items []string
	for i := range count {
		items = append(items, fmt.Sprintf(format, i))
	}
	return strings.Join(items, ", ")
}

// object returns the row's object. A field of spec that is null is left out.
func (r row) object(t *testing.T, namespace string) map[string]any {
	t.Helper()
	spec := map[string]any{}
	for _, text := range []string{map[string]string{
		"Machine":     "macAddresses: ['52:54:00:aa:bb:01']",
		"BootProfile": "platforms: [{architecture: amd64, kernel: " + artifact + "}]",
	}[r.kind], r.spec} {
		var fields map[string]any
		if err := yaml.Unmarshal([]byte(text), &fields); err != nil {
			t.Fatalf("bad row: %v", err)
		}
		maps.Copy(spec, fields)
	}
	maps.DeleteFunc(spec, func(_ string, value any) bool { return value == nil })
	obj := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	obj.SetAPIVersion(v1alpha1.GroupVersion.String())
	obj.SetKind(r.kind)
	obj.SetNamespace(namespace)
	obj.SetName("x")
	// Through JSON, for numbers as the API server and the Validator expect them.
	text, err := obj.MarshalJSON()
	if err == nil {
		err = obj.UnmarshalJSON(text)
	}
	if err != nil {
		t.Fatalf("bad row: %v", err)
	}
	return obj.Object
}

// TestAPIServerAndValidatorAgree holds both against the rows, and against each other, word for word.
func TestAPIServerAndValidatorAgree(t *testing.T) {
	c := controlplane.Client(t, server.Config(t))
	namespace := controlplane.Namespace(t, c)
	validator := newValidator(t)

	rows := accepted()
	maps.Copy(rows, rejected())
	for name, tc := range rows {
		t.Run(name, func(t *testing.T) {
			errs := validator.Admit(t.Context(), tc.object(t, namespace), nil)
			if diff := cmp.Diff(tc.want, summaries(errs)); diff != "" {
				t.Errorf("Admit() errors (-want +got):\n%s", diff)
			}

			err := c.Create(t.Context(), &unstructured.Unstructured{Object: tc.object(t, namespace)}, client.DryRunAll)
			if diff := cmp.Diff(causes(t, err), bodies(errs)); diff != "" {
				t.Errorf("Admit() differs from the API server (-server +Admit):\n%s", diff)
			}
		})
	}
}

func newValidator(t *testing.T) *manifest.Validator {
	t.Helper()
	validator, err := manifest.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	return validator
}

// summaries returns "FIELD: DETAIL" of each error, in their order; for a missing field its type, which has no detail.
func summaries(errs field.ErrorList) (all []string) {
	for _, err := range errs {
		detail := err.Detail
		if err.Type == field.ErrorTypeRequired {
			detail = err.Type.String()
		}
		all = append(all, err.Field+": "+detail)
	}
	return all
}

// bodies returns "FIELD: BODY" of each error, as the API server prints them, sorted.
func bodies(errs field.ErrorList) (all []string) {
	for _, err := range errs {
		all = append(all, err.Field+": "+err.ErrorBody())
	}
	slices.Sort(all)
	return all
}

// causes returns the field errors of an answer of the API server, in the form of bodies.
func causes(t *testing.T, err error) (all []string) {
	t.Helper()
	if err == nil {
		return nil
	}
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || !apierrors.IsInvalid(err) {
		t.Fatalf("API server: %v, want a verdict", err)
	}
	for _, cause := range status.ErrStatus.Details.Causes {
		all = append(all, cause.Field+": "+cause.Message)
	}
	slices.Sort(all)
	return all
}

// TestUnknownFields: the server answers them alone and without causes, the Validator among the other errors.
func TestUnknownFields(t *testing.T) {
	c := controlplane.Client(t, server.Config(t))
	namespace := controlplane.Namespace(t, c)
	validator := newValidator(t)
	for name, tc := range map[string]struct {
		row    row
		fields []string
	}{
		"in spec":        {machine("bootPolizy: Once"), []string{"spec.bootPolizy"}},
		"in a list item": {kernel("url: 'http://a/b', sha265: " + hexDigest), []string{"spec.platforms[0].kernel.sha265"}},
		"two of them":    {bootProfile("{kernel: x, kernelargs: []}"), []string{"spec.kernel", "spec.kernelargs"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.Create(t.Context(), &unstructured.Unstructured{Object: tc.row.object(t, namespace)}, client.DryRunAll)
			errs := bodies(validator.Admit(t.Context(), tc.row.object(t, namespace), nil))
			for _, unknown := range tc.fields {
				if want := fmt.Sprintf("unknown field %q", unknown); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("API server: %v, want %s", err, want)
				}
				if want := unknown + ": Forbidden: unknown field"; !slices.Contains(errs, want) {
					t.Errorf("Admit() = %q, want %q among them", errs, want)
				}
			}
		})
	}
}

// TestUpdatesAreRatcheted: what was stored before a rule came may stay until it is edited.
func TestUpdatesAreRatcheted(t *testing.T) {
	validator := newValidator(t)
	old := machine("hostname: Node-01").object(t, "lab")
	for name, tc := range map[string]struct {
		now  row
		want []string
	}{
		"an unchanged field is not held against it": {now: machine("{hostname: Node-01, bootID: '2'}")},
		"a changed field is": {
			now:  machine("hostname: Node-02"),
			want: []string{"spec.hostname: hostname must be a DNS name in lower case, such as node-01 or node-01.example.com"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			errs := validator.Admit(t.Context(), tc.now.object(t, "lab"), old)
			if diff := cmp.Diff(tc.want, summaries(errs)); diff != "" {
				t.Errorf("Admit() errors (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFreshObjectsAreNotYetObserved: kstatus takes observedGeneration -1 for "in progress", and nothing at all for done.
func TestFreshObjectsAreNotYetObserved(t *testing.T) {
	c := controlplane.Client(t, server.Config(t))
	namespace := controlplane.Namespace(t, c)
	validator := newValidator(t)
	for _, tc := range []row{machine(""), bootProfile("")} {
		t.Run(tc.kind, func(t *testing.T) {
			want := map[string]any{"observedGeneration": int64(-1)}

			stored := &unstructured.Unstructured{Object: tc.object(t, namespace)}
			stored.Object["status"] = map[string]any{"observedGeneration": int64(7)} // not the user's to set
			if err := c.Create(t.Context(), stored); err != nil {
				t.Fatal(err)
			}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(stored), stored); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, stored.Object["status"]); diff != "" {
				t.Errorf("status on the API server (-want +got):\n%s", diff)
			}

			admitted := tc.object(t, namespace)
			admitted["status"] = map[string]any{"observedGeneration": int64(7)}
			if errs := validator.Admit(t.Context(), admitted, nil); len(errs) > 0 {
				t.Fatal(errs)
			}
			if diff := cmp.Diff(want, admitted["status"]); diff != "" {
				t.Errorf("status after Admit (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(stored.Object["spec"], admitted["spec"]); diff != "" {
				t.Errorf("defaulted spec (-server +Admit):\n%s", diff)
			}
		})
	}
}

// TestEveryRuleHasRows: each CEL rule is met by an accepted row that it applies to, and breaks a rejected one.
func TestEveryRuleHasRows(t *testing.T) {
	applied, broken := map[string]bool{}, map[string]bool{}
	for _, row := range accepted() {
		schema := schemaOf(t, row.kind)
		markRules(&schema, row.object(t, "lab"), applied)
	}
	for _, row := range rejected() {
		for _, want := range row.want {
			_, message, _ := strings.Cut(want, ": ")
			broken[message] = true
		}
	}
	for _, kind := range []string{"Machine", "BootProfile"} {
		schema := schemaOf(t, kind)
		walkSchema("", &schema, func(path string, s *apiextensionsv1.JSONSchemaProps) {
			for _, rule := range s.XValidations {
				if !applied[rule.Message] {
					t.Errorf("%s %s: no accepted row for %q", kind, path, rule.Message)
				}
				if !broken[rule.Message] {
					t.Errorf("%s %s: no rejected row for %q", kind, path, rule.Message)
				}
			}
		})
	}
}

// markRules marks the messages of the rules that apply to value.
func markRules(s *apiextensionsv1.JSONSchemaProps, value any, applied map[string]bool) {
	for _, rule := range s.XValidations {
		applied[rule.Message] = true
	}
	switch value := value.(type) {
	case map[string]any:
		for name, below := range value {
			if property, known := s.Properties[name]; known {
				markRules(&property, below, applied)
			} else if s.AdditionalProperties != nil {
				markRules(s.AdditionalProperties.Schema, below, applied)
			}
		}
	case []any:
		for _, item := range value {
			markRules(s.Items.Schema, item, applied)
		}
	}
}
