//! `--hold`: the world stays up, and its environment is printed for any AWS client.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::time::sleep;

use crate::crew::Crew;
use crate::output::say;
use crate::rehearsal::{self, Options, Stage};
use crate::world::identity::{ACCOUNT, REGION};
use crate::world::{TARGET_GROUP, World};

/// Opens the world, prints `export` lines, and waits for ctrl-c or for `seconds`.
pub(super) async fn hold(
    options: &Options,
    stage: &Stage,
    crew: Arc<dyn Crew>,
    seconds: Option<u64>,
) -> anyhow::Result<()> {
    let company = rehearsal::open(options, stage, crew).await?;
    for (name, value) in environment(&stage.world, options.agents) {
        say(format_args!("export {name}={}", quoted(&value)));
    }
    eprintln!(
        "the world is up; {}",
        match seconds {
            Some(seconds) => format!("it ends in {seconds} s, or at ctrl-c"),
            None => "it ends at ctrl-c".to_owned(),
        }
    );
    let over = async {
        match seconds {
            Some(seconds) => sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    select! {
        biased;
        interrupted = super::interruption() => interrupted?,
        () = over => {}
    }
    rehearsal::close(&company, options.agents).await;
    Ok(())
}

/// What points an AWS client, or another agent, at the world.
fn environment(world: &World, agents: bool) -> Vec<(String, String)> {
    let aws = format!("http://{}", world.addresses.aws);
    let keys = world.operator_keys();
    let mut variables = vec![
        ("AWS_ENDPOINT_URL", aws.clone()),
        ("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", aws.clone()),
        ("AWS_ENDPOINT_URL_CODEDEPLOY", aws),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", keys.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", keys.secret_access_key),
        ("AWS_SESSION_TOKEN", keys.session_token),
        ("REHEARSAL_ACCOUNT", ACCOUNT.to_owned()),
        ("REHEARSAL_BALANCER", format!("http://{}/", world.addresses.balancer)),
        ("REHEARSAL_TARGET_GROUP_ARN", world.target_group_arn(TARGET_GROUP).unwrap_or_default()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect::<Vec<_>>();
    let first = world.seats.first();
    if let Some(seat) = first {
        let metadata = format!("http://{}", seat.metadata);
        variables.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), metadata));
    }
    if let (true, Some(dirs)) = (agents, first.and_then(|seat| seat.dirs.as_ref())) {
        variables.push(("PITCREW_SOCKET".to_owned(), dirs.socket().display().to_string()));
    }
    for seat in &world.seats {
        let number = seat.number;
        variables.push((format!("REHEARSAL_INSTANCE_{number}"), seat.instance_id.clone()));
        variables.push((format!("REHEARSAL_INSTANCE_{number}_METADATA"), format!("http://{}", seat.metadata)));
        variables.push((format!("REHEARSAL_INSTANCE_{number}_APPLICATION"), seat.application.to_string()));
    }
    variables
}

/// In single quotes, as a POSIX shell reads them.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_value_survives_the_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
