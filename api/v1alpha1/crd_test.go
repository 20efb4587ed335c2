// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/netboot-operator/netboot-operator/config/crd"
)

// oldestKubernetes is the oldest minor version of Kubernetes 1 whose API server shall take our CRDs.
const oldestKubernetes = 34

func definitions(t *testing.T) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	all, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func schemaOf(t *testing.T, kind string) apiextensionsv1.JSONSchemaProps {
	t.Helper()
	for _, definition := range definitions(t) {
		if definition.Spec.Names.Kind == kind {
			return *definition.Spec.Versions[0].Schema.OpenAPIV3Schema
		}
	}
	t.Fatalf("no CRD of kind %s", kind)
	return apiextensionsv1.JSONSchemaProps{}
}

// walkSchema calls visit with each schema, s first, and its path: spec.platforms[].kernel.
func walkSchema(path string, s *apiextensionsv1.JSONSchemaProps, visit func(path string, s *apiextensionsv1.JSONSchemaProps)) {
	visit(path, s)
	for name, property := range s.Properties {
		walkSchema(strings.TrimPrefix(path+"."+name, "."), &property, visit)
	}
	if s.Items != nil {
		walkSchema(path+"[]", s.Items.Schema, visit)
	}
	if s.AdditionalProperties != nil {
		walkSchema(path+"{}", s.AdditionalProperties.Schema, visit)
	}
}

// ofKubernetes says whether a property is metadata or within a condition, whose schemas are not ours to word.
func ofKubernetes(path string) bool {
	return path == "apiVersion" || path == "kind" || path == "metadata" || strings.HasPrefix(path, "status.conditions[]")
}

func TestEverySizeIsBounded(t *testing.T) {
	for _, kind := range []string{"Machine", "BootProfile"} {
		t.Run(kind, func(t *testing.T) {
			schema := schemaOf(t, kind)
			walkSchema("", &schema, func(path string, s *apiextensionsv1.JSONSchemaProps) {
				switch {
				case path == "apiVersion" || path == "kind" || path == "metadata":
				case s.Type == "string" && s.MaxLength == nil && len(s.Enum) == 0 && s.Format != "date-time":
					t.Errorf("%s: a string without maxLength, enum or format date-time", path)
				case s.Type == "array" && s.MaxItems == nil:
					t.Errorf("%s: a list without maxItems", path)
				case s.AdditionalProperties != nil && s.MaxProperties == nil:
					t.Errorf("%s: a map without maxProperties", path)
				}
			})
		})
	}
}

func TestEveryFieldIsDescribed(t *testing.T) {
	for _, kind := range []string{"Machine", "BootProfile"} {
		t.Run(kind, func(t *testing.T) {
			schema := schemaOf(t, kind)
			walkSchema("", &schema, func(path string, s *apiextensionsv1.JSONSchemaProps) {
				for name, property := range s.Properties {
					below := strings.TrimPrefix(path+"."+name, ".")
					if !ofKubernetes(below) && !strings.HasPrefix(property.Description, name+" ") {
						t.Errorf("%s: the description %q does not start with the field's name", below, property.Description)
					}
				}
			})
		})
	}
}

func TestEveryRuleSaysWhatToDo(t *testing.T) {
	for _, kind := range []string{"Machine", "BootProfile"} {
		t.Run(kind, func(t *testing.T) {
			schema := schemaOf(t, kind)
			walkSchema("", &schema, func(path string, s *apiextensionsv1.JSONSchemaProps) {
				for _, rule := range s.XValidations {
					if rule.Message == "" && rule.MessageExpression == "" {
						t.Errorf("%s: rule %q has no message", path, rule.Rule)
					}
				}
			})
		})
	}
}

// TestRulesCompileOnTheOldestKubernetes: a server takes only rules that its own version knows, and refuses the whole CRD
// else; the Validator knows them all.
func TestRulesCompileOnTheOldestKubernetes(t *testing.T) {
	env := environment.MustBaseEnvSet(version.MajorMinor(1, oldestKubernetes))
	for _, kind := range []string{"Machine", "BootProfile"} {
		t.Run(kind, func(t *testing.T) {
			schema := schemaOf(t, kind)
			walkSchema("", &schema, func(path string, s *apiextensionsv1.JSONSchemaProps) {
				if len(s.XValidations) == 0 {
					return
				}
				structural := structuralOf(t, s)
				results, err := cel.Compile(structural, model.SchemaDeclType(structural, path == ""), celconfig.PerCallLimit,
					env, cel.NewExpressionsEnvLoader())
				if err != nil {
					t.Errorf("%s: %v", path, err)
				}
				for i, result := range results {
					if result.Error != nil {
						t.Errorf("%s: rule %q: %v", path, s.XValidations[i].Rule, result.Error)
					}
				}
			})
		})
	}
}

func structuralOf(t *testing.T, s *apiextensionsv1.JSONSchemaProps) *structuralschema.Structural {
	t.Helper()
	var props apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(s, &props, nil); err != nil {
		t.Fatal(err)
	}
	structural, err := structuralschema.NewStructural(&props)
	if err != nil {
		t.Fatal(err)
	}
	return structural
}

// TestDefinitionsAreValid holds the CRDs against all that the API server checks when they are installed, the cost of
// the CEL rules among it.
func TestDefinitionsAreValid(t *testing.T) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	for _, definition := range definitions(t) {
		t.Run(definition.Name, func(t *testing.T) {
			scheme.Default(definition)
			for _, v := range definition.Spec.Versions { // the server fills it in before it validates
				definition.Status.StoredVersions = append(definition.Status.StoredVersions, v.Name)
			}
			var internal apiextensions.CustomResourceDefinition
			if err := scheme.Convert(definition, &internal, nil); err != nil {
				t.Fatal(err)
			}
			for _, err := range crdvalidation.ValidateCustomResourceDefinition(t.Context(), &internal) {
				t.Error(err)
			}
		})
	}
}
