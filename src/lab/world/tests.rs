use super::*;
use crate::replay::reader;

fn plan() -> SimulationPlan {
    SimulationPlan {
        seeds: vec![7],
        world: WorldKind::Standard,
        days: Some(1),
        sender_days: 1,
        campaigns: 0,
        contents: vec![],
        references: false,
        cases: false,
        attacks: vec![],
        cold: false,
        newcomers: false,
    }
}

/// All tables without the time they took.
fn told(reports: &WorldReports) -> String {
    let mut all = reports.together();
    all.nanos = 0;
    reports.text(goals::GoalTable::Drawn) + &all.text(false)
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
    let together = told(&run(&settings, &plan, None));
    let mut written = Vec::new();
    let mut events = Events::new(&mut written);
    assert_eq!(together, told(&run(&settings, &plan, Some(&mut events))));
}

#[test]
fn attacks_are_stopped_and_leave_no_trace_in_the_next_one() {
    let settings = Arc::new(reader::detector_alone());
    let attacks = vec![AttackKind::Blast, AttackKind::Bulk, AttackKind::Lateral];
    let plan = SimulationPlan {
        days: Some(12),
        campaigns: 6,
        attacks,
        ..plan()
    };
    let report = run(&settings, &plan, None).together();
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
        sender_days: 4 * cold::SENDER_DAYS,
        campaigns: 8,
        attacks: vec![AttackKind::Blast, AttackKind::Patient],
        ..plan()
    };
    let cold = run(
        &settings,
        &SimulationPlan {
            cold: true,
            ..plan.clone()
        },
        None,
    )
    .together();
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
            sender_days: 1,
            ..plan
        },
        None,
    )
    .together();
    assert_eq!(new.campaigns.len(), 16);
    assert!(
        new.campaigns.iter().any(|c| c.leaked < 30),
        "{:?}",
        new.campaigns
    );
}

#[test]
fn a_seed_gives_the_same_drawn_world_and_table_again() {
    let settings = Arc::new(reader::detector_alone());
    let of = |seeds: Vec<u64>| {
        let plan = SimulationPlan {
            seeds,
            world: WorldKind::Drawn,
            days: Some(11),
            campaigns: 2,
            attacks: vec![AttackKind::Blast, AttackKind::Snowshoe, AttackKind::Mixture],
            ..plan()
        };
        run(&settings, &plan, None)
    };
    // Small worlds, so that it does not take long.
    let small: Vec<u64> = (1..200)
        .filter(|seed| DrawnWorld::drawn(*seed).senders.iter().sum::<usize>() < 40)
        .take(3)
        .collect();
    let first = of(small.clone());
    assert_eq!(told(&first), told(&of(small.clone())));
    assert_eq!(first.together().campaigns.len(), 3 * 2 * 3);
    let one = told(&of(small[..1].to_vec()));
    assert_ne!(one, told(&of(small[1..2].to_vec())));
}

#[test]
fn attacked_accounts_have_the_history_of_their_world() {
    let settings = Arc::new(reader::detector_alone());
    let plan = SimulationPlan {
        world: WorldKind::Drawn,
        days: None,
        ..plan()
    };
    for history in [0, 1, 4, 8] {
        let mut around = plan.around(7, 0);
        around.world = DrawnWorld {
            senders: [80, 1, 1],
            days: 8,
            clients: 2,
            ..DrawnWorld::standard()
        };
        around.world.attacks.history = Some(history);
        let mut tenant = WorldTenant::new(&settings, 7, 0, &plan, around);
        for day in 0..8 {
            if day == 8 - history && history < 8 {
                tenant.future_victims(FIRST_DAY + day);
            }
            tenant.day(FIRST_DAY + day, &mut SimulationReport::default(), &mut None);
        }
        for kind in [AttackKind::Blast, AttackKind::Snowshoe] {
            let places = tenant.victims(kind, FIRST_DAY + 8, &[]);
            let of: Vec<_> = places.iter().map(|p| &tenant.senders[*p]).collect();
            assert!(
                of.iter().all(|s| FIRST_DAY + 8 - s.born == history),
                "{history}"
            );
            if history > 0 {
                let clients: Vec<_> = of.iter().map(|s| tenant.client(s)).collect();
                assert!(clients.iter().all(|c| *c == clients[0]), "one client");
                assert!(
                    kind == AttackKind::Blast || places.len() > 20,
                    "{}",
                    places.len()
                );
            }
        }
    }
}
