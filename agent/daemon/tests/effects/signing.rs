//! What every call has in common: credentials, signatures, an end to waiting, and answers that are none.

use super::balancing::{always, health};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_page_that_is_no_answer_is_not_taken_for_one() {
    let transport = always(|| answer(200, "<html>captive portal"));
    let failure = balancer(&transport).observe(&arn("web")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_ends_at_its_timeout_and_not_later() {
    let transport = Scripted::new(|_| std::future::pending());
    let began = tokio::time::Instant::now();
    let failure = balancer(&transport).observe(&arn("web")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure:?}");
    assert!(failure.sentence.contains("5 s"), "{failure:?}");
    assert!(began.elapsed() <= TIMEOUT + Duration::from_millis(10), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn missing_credentials_are_said_and_may_come_later() {
    #[derive(Debug)]
    struct Nobody;
    impl ProvideCredentials for Nobody {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let error = CredentialsError::not_loaded("no role");
            future::ProvideCredentials::ready(Err(error))
        }
    }
    let transport = always(|| panic!("nothing can be signed"));
    let config = configured(&transport, SharedCredentialsProvider::new(Nobody));
    let failure = balancer_with(&transport, config).observe(&arn("web")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.sentence.contains("attach a role to the instance"), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn credentials_are_asked_for_once_until_they_are_about_to_end_and_serve_to_their_end() {
    /// Gives credentials for an hour each, twice.
    #[derive(Debug)]
    struct TwoHours(AtomicU32);
    impl ProvideCredentials for TwoHours {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let hour = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            let end = UNIX_EPOCH + Duration::from_millis(MIDNIGHT) + Duration::from_secs(3600) * hour;
            let given = Credentials::new(format!("AKID{hour}"), "secret", None, Some(end), "test");
            future::ProvideCredentials::ready(match hour {
                1 | 2 => Ok(given),
                _ => Err(CredentialsError::not_loaded("no role any more")),
            })
        }
    }
    let transport = always(|| health(""));
    let balancer =
        balancer_with(&transport, configured(&transport, SharedCredentialsProvider::new(TwoHours(0.into()))));
    let signer = async || {
        balancer.observe(&arn("web")).await.unwrap();
        let signed = transport.seen().pop().unwrap().headers["authorization"].to_str().unwrap().to_owned();
        signed.split("Credential=").nth(1).unwrap().split('/').next().unwrap().to_owned()
    };
    assert_eq!([signer().await, signer().await], ["AKID1", "AKID1"]);
    tokio::time::sleep(Duration::from_secs(3570)).await;
    assert_eq!([signer().await, signer().await], ["AKID2", "AKID2"], "half a minute before the end");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(signer().await, "AKID2", "nobody gives others, and these still serve");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let failure = balancer.observe(&arn("web")).await.unwrap_err();
    assert!(failure.sentence.contains("no role any more"), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn signatures_carry_the_time_of_our_clock() {
    let transport = always(|| health(""));
    let balancer = balancer(&transport);
    tokio::time::sleep(Duration::from_secs(3661)).await;
    balancer.observe(&arn("web")).await.unwrap();
    assert_eq!(transport.seen()[0].headers["x-amz-date"], "20261123T010101Z");
}
