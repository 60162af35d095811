//! Settings that work but hardly were meant.

use super::tests::read;

#[test]
fn settings_that_hardly_were_meant_are_warned_about() {
    for (text, line, key) in [
        ("[admin]\nbind = \"0.0.0.0:8025\"", 2, "admin.bind"),
        (
            "[[client]]\nnetworks = [\"0.0.0.0/0\"]",
            2,
            "client[1].networks",
        ),
        ("[public]\nbind = \"0.0.0.0:80\"", 1, "public.url"),
        ("[delivery]\nexpire = \"1h\"", 1, "delivery.delay_notice"),
        (
            "[[listener]]\nbind = \"127.0.0.1:25\"\nkind = \"reports\"",
            1,
            "reports.feedback_loops",
        ),
        ("[limits]\nsessions = 10", 1, "limits.sessions_per_address"),
        (
            "[limits]\nmessage_size_bytes = 10000",
            2,
            "limits.message_size_bytes",
        ),
        // Either key alone meets the other's default.
        (
            "[scoring]\nsuspicious_probability = 1.0",
            1,
            "scoring.spam_probability",
        ),
        (
            "[scoring]\nspam_probability = 0.5",
            2,
            "scoring.spam_probability",
        ),
        ("[server]\nhostname = \"relay\"", 2, "server.hostname"),
        (
            "[[route]]\ndomain = \"*\"\nhost = \"a.example\"\n[[route]]\ndomain = \"b.example\"\nhost = \"b.example\"",
            5,
            "route[2].domain",
        ),
        (
            "[[route]]\ndomain = \"*\"\nhost = \"a.example\"\nallow_unverified = true",
            4,
            "route[1].allow_unverified",
        ),
        (
            "[[pool]]\nname = \"high_risk\"\naddresses = []",
            3,
            "pool[1].addresses",
        ),
        (
            "[[client]]\nnetworks = [\"192.0.2.0/24\"]\ntrust_received = true\nidentity_headers = [\"X-User\"]",
            4,
            "client[1].identity_headers",
        ),
    ] {
        let warnings = read(text).1;
        assert!(
            warnings.iter().any(|w| w.line == line && w.key == key),
            "{text}: {warnings:?}"
        );
    }
}

#[test]
fn a_wide_network_that_is_trusted_is_warned_about() {
    for (network, trust, warned) in [
        ("10.0.0.0/8", "trust_received = true", true),
        ("172.16.0.0/12", "trust_xclient = true", true),
        ("10.0.0.0/15", "identity_headers = [\"X-User\"]", true),
        ("10.0.0.0/15", "script_header = \"X-Script\"", true),
        ("2001:db8::/47", "trust_received = true", true),
        ("126.0.0.0/7", "trust_received = true", true),
        // Not wider, not trusting, or this machine.
        ("10.0.0.0/16", "trust_received = true", false),
        ("2001:db8::/48", "trust_received = true", false),
        ("10.0.0.0/8", "", false),
        ("127.0.0.0/8", "trust_xclient = true", false),
    ] {
        let warnings = read(&format!("[[client]]\nnetworks = [\"{network}\"]\n{trust}")).1;
        let told = warnings
            .iter()
            .any(|w| w.key == "client[1].networks" && w.line == 2 && w.problem.contains(network));
        assert_eq!(told, warned, "{network} {trust}: {warnings:?}");
    }
}

#[test]
fn settings_that_were_meant_bring_no_warning() {
    let own = read("[[pool]]\nname = \"high_risk\"\naddresses = [\"192.0.2.1\"]\n[server]\nhostname = \"relay.example.com\"").1;
    assert_eq!(own, [], "nothing to say");
    let reports = "[[listener]]\nbind = \"127.0.0.1:25\"\nkind = \"reports\"\n[reports]\n";
    for named in [
        "feedback_loops = [\"yahoo\"]",
        "complaint_networks = [\"192.0.2.1\"]",
        "complaint_dkim_domains = [\"isp.example\"]",
    ] {
        let warnings = read(&format!("{reports}{named}")).1;
        assert!(
            warnings.iter().all(|w| w.key != "reports.feedback_loops"),
            "{warnings:?}"
        );
    }
}
