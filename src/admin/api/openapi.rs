//! `/api/v1/openapi.json`: OpenAPI 3.1, made from the handlers and the structs they take and give.

use crate::api::ProblemObject;
use axum::Json;
use std::sync::LazyLock;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi as _};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Outgate", description = "Admin API of the outbound mail relay."),
    servers((url = "/api/v1")),
    security(("token" = [])),
    components(schemas(ProblemObject)),
    modifiers(&BearerToken),
)]
struct Base;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut OpenApi) {
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", token);
    }
}

/// Adds the problem objects that a request to this operation may be answered with.
fn add_problems(operation: &mut Operation, is_open: bool, acts: bool) {
    let has = |place: ParameterIn| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|p| matches!(p, RefOr::T(p) if p.parameter_in == place))
    };
    let (names_one, filters) = (has(ParameterIn::Path), has(ParameterIn::Query));
    let possible = [
        ("400", "It cannot be read", names_one || filters || acts),
        ("401", "No known token", !is_open),
        ("403", "The token does not allow it", !is_open),
        ("404", "There is no such thing", names_one),
        ("409", "Its state does not allow it", acts),
        ("413", "The body is too large", acts),
        ("421", "The Host is no name of this relay", true),
        ("422", "A field makes no sense", filters || acts),
        ("503", "It does not work now; try again", true),
    ];
    let responses = &mut operation.responses.responses;
    for (status, what, _) in possible.into_iter().filter(|(_, _, may_be)| *may_be) {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("ProblemObject")))
            .build();
        let problem = ResponseBuilder::new()
            .description(what)
            .content("application/problem+json", content)
            .build();
        responses.insert(status.into(), problem.into());
    }
}

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(|| {
    let mut document = Base::openapi();
    document.merge(super::core_api::<super::RelayRoutes>().into_openapi());
    document.merge(super::relay_api().into_openapi());
    for item in document.paths.paths.values_mut() {
        for operation in item.get.iter_mut() {
            let is_open = operation.security.is_some();
            add_problems(operation, is_open, false);
        }
        for operation in item.post.iter_mut() {
            add_problems(operation, false, true);
        }
    }
    document
});

/// This document. It needs no token, for it says nothing of this relay.
#[utoipa::path(
    get,
    path = "/openapi.json",
    security(()),
    responses((status = 200, body = serde_json::Value))
)]
pub(super) async fn show_document() -> Json<&'static OpenApi> {
    Json(&DOCUMENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn document() -> Value {
        serde_json::to_value(&*DOCUMENT).expect("JSON")
    }

    /// Path, method and description of every operation.
    fn operations(document: &Value) -> Vec<(String, String, Value)> {
        let paths = document["paths"].as_object().expect("paths");
        let of = |(path, item): (&String, &Value)| {
            let methods = item.as_object().expect("methods");
            let one = |(method, operation): (&String, &Value)| {
                (path.clone(), method.clone(), operation.clone())
            };
            methods.iter().map(one).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of).collect()
    }

    #[test]
    fn every_route_is_in_the_document_and_every_path_of_it_is_a_route() {
        // The router tells its paths by Debug alone. Their methods stand in the same list as the
        // document's, see `routes!` in `api`.
        let routes = format!("{:?}", crate::admin::api::routes());
        let quoted = routes
            .split('"')
            .filter(|text| text.starts_with(crate::admin::api::BASE));
        let routed: BTreeSet<&str> = quoted
            .map(|path| path.trim_start_matches(crate::admin::api::BASE))
            .collect();
        let document = document();
        let paths = document["paths"].as_object().expect("paths");
        let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
        assert_eq!(routed, described);
    }

    #[test]
    fn every_operation_says_all() {
        let (document, mut ids) = (document(), BTreeSet::new());
        for (path, method, operation) in operations(&document) {
            let place = format!("{method} {path}: {operation}");
            assert!(operation["summary"].is_string(), "{place}");
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id.to_owned()), "{place}: twice");
            assert_eq!(
                operation["requestBody"].is_object(),
                method == "post",
                "{place}"
            );
            let parameters = operation["parameters"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let in_path: Vec<_> = parameters.iter().filter(|p| p["in"] == "path").collect();
            let names: Vec<_> = path.split(['{', '}']).skip(1).step_by(2).collect();
            assert_eq!(in_path.len(), names.len(), "{place}");
            assert!(
                in_path
                    .iter()
                    .all(|p| names.iter().any(|n| p["name"] == *n)),
                "{place}"
            );
            let responses = operation["responses"].as_object().expect("responses");
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{place}"
            );
            for (status, response) in responses {
                let kind = if status.starts_with('2') {
                    "application/json"
                } else {
                    "application/problem+json"
                };
                assert!(
                    response["content"][kind]["schema"].is_object(),
                    "{place}: {status}"
                );
            }
            assert!(responses.contains_key("503"), "{place}");
            assert_eq!(
                responses.contains_key("401"),
                path != "/openapi.json",
                "{place}"
            );
        }
    }

    #[test]
    fn every_schema_that_is_referred_to_is_there() {
        let document = document();
        for reference in document.to_string().split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().expect("name");
            assert!(
                document["components"]["schemas"].get(name).is_some(),
                "{name}"
            );
        }
        let block = &document["components"]["schemas"]["BlockItem"]["required"];
        for field in [
            "ref",
            "kind",
            "subject",
            "tenant",
            "state",
            "reason",
            "opened_at",
            "until",
            "opened_by",
            "evidence",
            "releases_left",
        ] {
            assert!(
                block
                    .as_array()
                    .is_some_and(|all| all.iter().any(|f| f == field)),
                "{field}"
            );
        }
    }
}
