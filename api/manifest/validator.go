// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/operation"
	metavalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"

	"github.com/netboot-operator/netboot-operator/config/crd"
)

// A Validator judges objects of the kinds that the CRDs define. It is safe for use by many goroutines at once.
type Validator struct {
	kinds map[schema.GroupVersionKind]*kindValidator
}

// A kindValidator judges the objects of one version of one CRD.
type kindValidator struct {
	namespaced bool
	structural *structuralschema.Structural
	schema     validation.SchemaValidator
	cel        *cel.Validator // nil: the schema has no rules
}

// NewValidator compiles the embedded CRDs. An error means that a CRD is broken, not an object.
func NewValidator() (*Validator, error) {
	definitions, err := crd.Definitions()
	if err != nil {
		return nil, err
	}
	v := &Validator{kinds: map[schema.GroupVersionKind]*kindValidator{}}
	for _, definition := range definitions {
		spec := definition.Spec
		for _, version := range spec.Versions {
			kind, err := newKindValidator(version.Schema.OpenAPIV3Schema)
			if err != nil {
				return nil, fmt.Errorf("compile CRD %s version %s: %w", definition.Name, version.Name, err)
			}
			kind.namespaced = spec.Scope == apiextensionsv1.NamespaceScoped
			v.kinds[schema.GroupVersionKind{Group: spec.Group, Version: version.Name, Kind: spec.Names.Kind}] = kind
		}
	}
	return v, nil
}

func newKindValidator(openAPI *apiextensionsv1.JSONSchemaProps) (*kindValidator, error) {
	var props apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(openAPI, &props, nil); err != nil {
		return nil, err
	}
	structural, err := structuralschema.NewStructural(&props)
	if err != nil {
		return nil, err
	}
	if errs := structuralschema.ValidateStructural(nil, structural); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	schemaValidator, _, err := validation.NewSchemaValidator(&props)
	if err != nil {
		return nil, err
	}
	return &kindValidator{
		structural: structural,
		schema:     schemaValidator,
		cel:        cel.NewValidator(structural, true, celconfig.PerCallLimit),
	}, nil
}

// Admit judges obj as the API server does with fieldValidation=Strict: on create when old is nil, else on the update of
// old, which must be an object that was admitted before. It fills in defaults and replaces status by its default, in
// place. obj must be as decoded from JSON with whole numbers as int64. It returns nil when the object is good.
//
// Two things differ from the server. An unknown field is one Forbidden error among the others, where the server
// answers it alone; and an update need not carry the resourceVersion of old.
func (v *Validator) Admit(ctx context.Context, obj, old map[string]any) field.ErrorList {
	gvk := (&unstructured.Unstructured{Object: obj}).GroupVersionKind()
	kind, known := v.kinds[gvk]
	if !known {
		return field.ErrorList{field.Invalid(field.NewPath("kind"), gvk.Kind, "no such kind in "+gvk.GroupVersion().String())}
	}

	errs, ok := kind.decode(obj)
	if !ok {
		return errs
	}
	delete(obj, "status") // belongs to the operator; the server drops it from what users write
	defaulting.Default(obj, kind.structural)
	return append(errs, kind.validate(ctx, obj, old)...)
}

// decode drops what the schema does not know and reports it. It returns false when there is nothing left to judge.
// Source: unstructuredSchemaCoercer in apiextensions-apiserver's customresource_handler.go.
func (k *kindValidator) decode(obj map[string]any) (errs field.ErrorList, ok bool) {
	malformed, unknownMeta := objectmeta.CoerceWithOptions(nil, obj, k.structural, true,
		objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if malformed != nil {
		return field.ErrorList{malformed}, false
	}
	unknown := pruning.PruneWithOptions(obj, k.structural, true,
		structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range append(unknownMeta, unknown...) {
		errs = append(errs, field.Forbidden(field.NewPath(path), "unknown field"))
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(obj, k.structural)
	return errs, true
}

// validate checks in the order of customResourceStrategy.Validate and ValidateUpdate in apiextensions-apiserver.
func (k *kindValidator) validate(ctx context.Context, obj, old map[string]any) field.ErrorList {
	errs := k.validateMeta(ctx, obj)

	var celOptions []cel.Option
	checkLists := true
	if old == nil {
		errs = append(errs, validation.ValidateCustomResource(nil, obj, k.schema)...)
	} else {
		// Ratcheting: what was bad before and did not change may stay.
		correlated := common.NewCorrelatedObject(obj, old, &model.Structural{Structural: k.structural})
		celOptions = append(celOptions, cel.WithRatcheting(correlated))
		checkLists = len(listtype.ValidateListSetsAndMaps(nil, k.structural, old)) == 0
		errs = append(errs, validation.ValidateCustomResourceUpdate(nil, obj, old, k.schema,
			validation.WithRatcheting(correlated))...)
	}
	errs = append(errs, objectmeta.Validate(ctx, nil, obj, k.structural, false)...)
	if checkLists {
		errs = append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, obj)...)
	}

	switch {
	case k.cel == nil:
		return errs
	case blocksRules(errs):
		return append(errs, field.Invalid(nil, nil, "some validation rules were not checked because the object was invalid; "+
			"correct the existing errors to complete validation"))
	default:
		broken, _ := k.cel.Validate(ctx, nil, k.structural, obj, old, celconfig.RuntimeCELCostBudget, celOptions...)
		return append(errs, broken...)
	}
}

func (k *kindValidator) validateMeta(ctx context.Context, obj map[string]any) field.ErrorList {
	path := field.NewPath("metadata")
	meta, found, err := objectmeta.GetObjectMeta(obj, false)
	if err != nil {
		return field.ErrorList{field.Invalid(path, obj["metadata"], err.Error())}
	}
	if !found {
		meta = &metav1.ObjectMeta{}
	}
	return metavalidation.ValidateObjectMetaDeclaratively(ctx, operation.Create, meta, nil,
		k.namespaced, metavalidation.NameIsDNSSubdomain, path, true)
}

// blocksRules says whether an object is too far from its schema for CEL rules to run on it.
func blocksRules(errs field.ErrorList) bool {
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany,
			field.ErrorTypeTypeInvalid:
			return true
		}
	}
	return false
}
