//! Names of metrics and of log events stand in one table each.

use super::{Source, sources};

/// Names of metrics and events that stand elsewhere than in their table, one line each.
fn stray_names(sources: &[Source]) -> Vec<String> {
    let mut stray = Vec::new();
    for source in sources {
        let macros = ["counter!(", "gauge!(", "histogram!("];
        for call in macros.iter().flat_map(|m| source.code.split(m).skip(1)) {
            if call.trim_start().starts_with('"') {
                let name: String = call.trim_start().chars().take(40).collect();
                stray.push(format!("{}: metric {name}", source.path));
            }
        }
        if source.path == "telemetry/events.rs" {
            continue;
        }
        for call in source.code.split("tracing::").skip(1) {
            let call = call.split(';').next().unwrap_or(call);
            if ["event =", "event,"].iter().any(|e| call.contains(e)) {
                stray.push(format!("{}: event in {}", source.path, call.trim()));
            }
        }
    }
    stray
}

#[test]
fn metrics_and_events_stand_in_their_tables() {
    let stray = stray_names(&sources());
    assert!(
        stray.is_empty(),
        "names of metrics stand in the table of telemetry/metrics.rs, events are functions in \
         telemetry/events.rs. Add a row there and use it:\n{}",
        stray.join("\n")
    );
}

#[test]
fn a_stray_name_is_found() {
    let source = |code: &str| Source {
        path: "queue/x.rs".into(),
        room: "queue".into(),
        code: code.into(),
    };
    for (code, count) in [
        ("metrics::counter!(names::A).increment(1);", 0),
        ("metrics::gauge!(\n    \"outgate_a\", \"b\" => c)", 1),
        ("tracing::error!(%error, \"a disk is in trouble\");", 0),
        ("tracing::info!(event = \"gone\", %id);", 1),
    ] {
        assert_eq!(stray_names(&[source(code)]).len(), count, "{code}");
    }
}
