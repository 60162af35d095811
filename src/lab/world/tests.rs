use super::*;
use crate::replay::reader;

fn plan() -> SimulationPlan {
    let contents = vec![WorldContent::Drawn(people::Quality {
        tpr: 0.98,
        fpr: 0.001,
    })];
    SimulationPlan {
        seeds: vec![7],
        days: 1,
        tenants: 1,
        campaigns: 0,
        contents,
        references: false,
        cases: false,
        attacks: vec![],
        cold: false,
        newcomers: false,
    }
}

#[test]
fn a_replay_of_the_written_events_decides_as_the_simulation_did() {
    let settings = Arc::new(reader::detector_alone());
    let mut written = Vec::new();
    let mut events = Events::new(&mut written);
    let attacks = vec![AttackKind::Blast, AttackKind::Lateral];
    run(
        &settings,
        &SimulationPlan { attacks, ..plan() },
        Some(&mut events),
    );
    events.finish().expect("memory");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let summary =
        reader::run((*settings).clone(), &mut &written[..], &mut out, &mut err).expect("memory");
    assert_eq!((summary.errors, summary.unknown), (0, 0));
    fn lines(text: &[u8]) -> impl Iterator<Item = &str> {
        std::str::from_utf8(text).expect("text").lines()
    }
    let actions = |text: &[u8], key: &str| -> Vec<(String, String)> {
        let lines =
            lines(text).map(|l| serde_json::from_str::<serde_json::Value>(l).expect("JSON"));
        lines
            .filter_map(|l| Some((l["id"].as_str()?.to_owned(), l[key].as_str()?.to_owned())))
            .collect()
    };
    let (simulated, replayed) = (actions(&written, "decided"), actions(&out, "action"));
    assert!(
        simulated.len() > 20_000 && simulated.iter().any(|(_, a)| a == "high_risk"),
        "{}",
        simulated.len()
    );
    assert_eq!(simulated, replayed);
    // The campaigns stand behind the ordinary mail, marked.
    let of = |kind: &str| {
        let marked: Vec<&str> = lines(&written)
            .filter(|l| l.contains(&format!("\"attack\":\"{kind}\"")))
            .collect();
        (
            marked.len(),
            marked
                .iter()
                .filter(|l| l.contains("\"decided\":\"accept\""))
                .count(),
        )
    };
    let (blast, lateral) = (of("blast"), of("lateral"));
    assert_eq!((blast.0, lateral.0), (600, 50));
    assert!(blast.1 < 30 && lateral.1 < 30, "{blast:?} {lateral:?}");
}

#[test]
fn the_same_comes_out_however_the_tenants_are_shared_out() {
    let settings = Arc::new(reader::detector_alone());
    let plan = SimulationPlan {
        seeds: vec![3, 4],
        cases: true,
        ..plan()
    };
    let told = |mut report: SimulationReport| {
        report.nanos = 0;
        report.text(false)
    };
    let together = told(run(&settings, &plan, None));
    let (mut written, mut none) = (Vec::new(), SimulationReport::default());
    let mut events = Events::new(&mut written);
    none.join(run(&settings, &plan, Some(&mut events)));
    assert_eq!(together, told(none));
}

#[test]
fn attacks_are_stopped_and_leave_no_trace_in_the_next_one() {
    let settings = Arc::new(reader::detector_alone());
    let attacks = vec![AttackKind::Blast, AttackKind::Bulk, AttackKind::Lateral];
    let plan = SimulationPlan {
        days: 12,
        campaigns: 6,
        attacks,
        ..plan()
    };
    let report = run(&settings, &plan, None);
    assert_eq!(report.campaigns.len(), 18);
    for campaign in &report.campaigns {
        assert!(campaign.leaked <= 30, "{campaign:?}");
    }
    let text = report.text(false);
    assert!(
        text.contains("newsletter") && text.contains("lateral"),
        "{text}"
    );
}

#[test]
fn new_tenants_and_new_accounts_are_simulated() {
    let settings = Arc::new(reader::detector_alone());
    let plan = SimulationPlan {
        tenants: 4,
        campaigns: 8,
        attacks: vec![AttackKind::Blast, AttackKind::Patient],
        ..plan()
    };
    let cold = run(
        &settings,
        &SimulationPlan {
            days: cold::DAYS,
            cold: true,
            ..plan.clone()
        },
        None,
    );
    assert_eq!(cold.campaigns.len(), 16);
    // Every sender of such a tenant is cold, all of its days.
    let [warm, fresh] = cold.mistakes[0];
    assert!(warm.days == 0 && fresh.days >= 4 * 5 * 3, "{fresh:?}");
    assert!(
        cold.campaigns.iter().all(|c| c.leaked < 600),
        "none passes whole"
    );
    let new = run(
        &settings,
        &SimulationPlan {
            newcomers: true,
            tenants: 1,
            ..plan
        },
        None,
    );
    assert_eq!(new.campaigns.len(), 16);
    assert!(
        new.campaigns.iter().any(|c| c.leaked < 30),
        "{:?}",
        new.campaigns
    );
}
