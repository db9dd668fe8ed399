//! One question: its token, its answer, and every trouble by its name.

use std::time::Duration;

use pitcrew::intake::imds::{Identity, Trouble};
use tokio::time::{Instant, sleep};

use crate::DOCUMENT;
use crate::world::{Fault, World};

#[tokio::test(start_paused = true)]
async fn a_token_serves_until_it_is_nearly_over_and_is_then_renewed() {
    let world = World::new();
    world.page("meta-data/x", "1");
    world.state.lock().unwrap().token_life = 100;
    for _ in 0..89 {
        world.imds.get("meta-data/x").await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.asked("api/token"), 1);
    sleep(Duration::from_secs(2)).await;
    world.imds.get("meta-data/x").await.unwrap();
    assert_eq!(world.asked("api/token"), 2, "renewed at nine tenths of its life");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_renewed_early_still_serves() {
    let world = World::new();
    world.page("meta-data/x", "1");
    world.state.lock().unwrap().token_life = 1000;
    world.imds.get("meta-data/x").await.unwrap();
    world.fault_at("api/token", Fault::Status(503));
    sleep(Duration::from_secs(901)).await;
    for _ in 0..30 {
        assert!(world.imds.get("meta-data/x").await.unwrap().is_some());
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.asked("api/token"), 2, "and is not asked for at every question");
    sleep(Duration::from_secs(100)).await;
    assert!(matches!(world.imds.get("meta-data/x").await, Err(Trouble::Status(_))), "it has ended");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_and_the_question_asked_again() {
    let world = World::new();
    world.page("meta-data/x", "1");
    world.imds.get("meta-data/x").await.unwrap();
    world.state.lock().unwrap().refused_tokens = 1;
    assert_eq!(world.imds.get("meta-data/x").await.unwrap().unwrap(), "1");
    assert_eq!(world.asked("api/token"), 2);
    world.state.lock().unwrap().refused_tokens = u32::MAX;
    assert!(matches!(world.imds.get("meta-data/x").await, Err(Trouble::Unauthorized)));
    assert_eq!(world.asked("meta-data/x"), 5, "twice more, and not for ever");
}

#[tokio::test(start_paused = true)]
async fn every_trouble_has_its_own_name_and_absence_is_none_of_them() {
    let world = World::new();
    world.imds.get("meta-data/x").await.unwrap();
    assert!(world.imds.get("meta-data/x").await.unwrap().is_none(), "404");
    let table: [(Fault, &str); 8] = [
        (Fault::Empty, "IMDS answered with nothing in it"),
        (Fault::Page(" \n"), "IMDS answered with nothing in it"),
        (Fault::Status(401), "IMDS answered 401 Unauthorized"),
        (Fault::Status(403), "IMDS refuses this host (403)"),
        (Fault::Status(429), "IMDS is asked too often (429)"),
        (Fault::Status(503), "IMDS answered 503 Service Unavailable"),
        (Fault::Hang, "IMDS did not answer"),
        (Fault::Refuse, "IMDS did not answer"),
    ];
    for (fault, said) in table {
        world.fault(fault);
        let began = Instant::now();
        let trouble = world.imds.get("meta-data/x").await.unwrap_err().to_string();
        assert!(trouble.starts_with(said), "{fault:?}: {trouble}");
        assert!(began.elapsed() <= Duration::from_millis(1001), "{fault:?}");
        world.fault(None);
        assert!(world.imds.get("meta-data/x").await.unwrap().is_none(), "and is over with its cause");
    }
}

const IDENTITY: &str = r#"{"accountId":"123456789012","architecture":"x86_64","availabilityZone":"cn-north-1a","billingProducts":null,"imageId":"ami-1","instanceId":"i-0abc","instanceType":"c5.large","pendingTime":"2026-01-01T00:00:00Z","privateIp":"10.0.0.7","region":"cn-north-1","version":"2017-09-30"}"#;

fn identity(partition: &str, domain: &str) -> Identity {
    Identity {
        instance: "i-0abc".into(),
        region: "cn-north-1".to_owned(),
        availability_zone: "cn-north-1a".to_owned(),
        account: "123456789012".to_owned(),
        private_address: Some("10.0.0.7".to_owned()),
        partition: partition.to_owned(),
        domain: domain.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_instance_knows_who_it_is() {
    let world = World::new();
    world.page(DOCUMENT, IDENTITY);
    let usual = world.imds.identity().await.unwrap();
    assert_eq!(usual, identity("aws-cn", "amazonaws.com.cn"), "by its region where nothing is said");
    world.page("meta-data/services/partition", "aws-iso\n");
    world.page("meta-data/services/domain", "c2s.ic.gov");
    assert_eq!(world.imds.identity().await.unwrap(), identity("aws-iso", "c2s.ic.gov"));
}

#[tokio::test(start_paused = true)]
async fn an_error_page_does_not_become_the_instances_name() {
    let world = World::new();
    let nonsense = IDENTITY.replace("i-0abc", "401 - Unauthorized");
    for page in ["<html>401 - Unauthorized</html>", "{}", &nonsense] {
        world.page(DOCUMENT, page);
        let trouble = world.imds.identity().await.unwrap_err();
        assert!(matches!(trouble, Trouble::Unreadable { .. }), "{trouble}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_imds_that_comes_up_late_is_waited_for() {
    let world = World::new();
    world.page(DOCUMENT, IDENTITY);
    world.fault(Fault::Refuse);
    let began = Instant::now();
    let asking = world.imds.identity_when_known(7);
    let healing = async {
        sleep(Duration::from_secs(60)).await;
        world.fault(None);
    };
    let (known, ()) = tokio::join!(asking, healing);
    assert_eq!(known.instance.as_str(), "i-0abc");
    assert!(began.elapsed() <= Duration::from_secs(64), "{:?}", began.elapsed());
    assert!(world.asked("api/token") < 40, "without hammering it");
}
