//! The tags of instances, as EC2 tells and changes them.

use bytes::Bytes;
use pitcrew_rehearsal::world::{Origin, World};

use crate::support::{signed, text, world};

async fn call(world: &World, action: &str, fields: &str) -> (u16, String) {
    let body = format!("Action={action}&Version=2016-11-15&{fields}");
    text(&world.router(Origin::Aws, signed(world).body(Bytes::from(body)).unwrap()).await)
}

#[tokio::test(start_paused = true)]
async fn tags_are_created_described_and_deleted() {
    let world = world();
    let seat = &world.seats[0];
    let own = format!("ResourceId.1={}", seat.instance_id);
    let created = call(&world, "CreateTags", &format!("{own}&Tag.1.Key=team&Tag.1.Value=a%26b")).await;
    assert!(created.0 == 200 && created.1.contains("<return>true</return>"), "{}", created.1);
    let fields = format!("Filter.1.Name=resource-id&Filter.1.Value.1={}", seat.instance_id);
    let (_, described) = call(&world, "DescribeTags", &fields).await;
    assert!(described.contains("<key>team</key><value>a&amp;b</value>"), "{described}");
    assert_eq!(described.matches("<item>").count(), 3, "{described}");
    for (fields, left) in [
        ("Tag.1.Key=pitcrew:ready&Tag.1.Value=no", 3),
        ("Tag.1.Key=pitcrew:ready&Tag.1.Value=true", 2),
        ("Tag.1.Key=team&Tag.2.Key=absent", 1),
    ] {
        assert_eq!(call(&world, "DeleteTags", &format!("{own}&{fields}")).await.0, 200);
        assert_eq!(world.tag_keys(seat).len(), left, "{fields}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_call_is_refused_in_ec2s_own_words() {
    let world = world();
    let own = format!("ResourceId.1={}", world.seats[0].instance_id);
    for (action, fields, code) in [
        ("DeleteTags", "ResourceId.1=i-0&Tag.1.Key=x".to_owned(), "InvalidID"),
        ("DeleteTags", own.clone(), "MissingParameter"),
        ("CreateTags", "Tag.1.Key=x&Tag.1.Value=y".to_owned(), "MissingParameter"),
        ("RunInstances", own, "InvalidAction"),
    ] {
        let (status, body) = call(&world, action, &fields).await;
        assert_eq!(status, 400);
        assert!(body.contains(&format!("<Response><Errors><Error><Code>{code}</Code>")), "{body}");
    }
}
