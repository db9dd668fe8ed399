//! The tags of the world's instances, through the EC2 API (its own dialect of the Query protocol, 2016-11-15).

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::imds::Imds;
use super::wire::{self, ApiError, Form, Xml};

pub(super) const VERSION: &str = "2016-11-15";
const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// Answers one operation on the instances' tags.
pub(super) fn call(instances: &mut BTreeMap<u8, Imds>, action: &str, form: &Form) -> Result<Xml, ApiError> {
    if form.get("DryRun") == Some("true") {
        return Err(ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            "DryRunOperation",
            "Request would have succeeded, but DryRun flag is set.",
        ));
    }
    match action {
        "CreateTags" => {
            let tags = tags(form)?;
            for instance in resources(instances, form)? {
                instance.tags.extend(tags.iter().map(|(key, value)| (key.clone(), value.clone().unwrap_or_default())));
            }
            Ok(done())
        }
        "DeleteTags" => {
            let tags = tags(form)?;
            for instance in resources(instances, form)? {
                // A tag that is not there is as good; with a value given, only the tag with that value goes.
                instance.tags.retain(|key, value| {
                    !tags.iter().any(|(named, only)| named == key && only.as_ref().is_none_or(|only| only == value))
                });
            }
            Ok(done())
        }
        "DescribeTags" => Ok(describe(instances, form)),
        other => {
            Err(ApiError::sender("InvalidAction", format!("The action {other} is not valid for this web service.")))
        }
    }
}

/// `ActionResponse` in EC2's own form: the request id first, and no result element.
pub(super) fn reply(action: &str, request_id: &str, result: &str) -> Response<Bytes> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"{NAMESPACE}\">\
         <requestId>{request_id}</requestId>{result}</{action}Response>"
    );
    wire::ok_xml(request_id, body)
}

/// `Response` with `Errors`, as only EC2 writes it.
pub(super) fn error(request_id: &str, error: &ApiError) -> Response<Bytes> {
    let mut inner = Xml::default();
    inner.element("Errors", |xml| {
        xml.element("Error", |xml| {
            xml.text("Code", error.code);
            xml.text("Message", &error.message);
        });
    });
    inner.text("RequestID", request_id);
    wire::error_xml(
        error.status,
        request_id,
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response>{}</Response>", inner.0),
    )
}

fn done() -> Xml {
    let mut xml = Xml::default();
    xml.text("return", true);
    xml
}

fn describe(instances: &BTreeMap<u8, Imds>, form: &Form) -> Xml {
    let mut filters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for n in (1..).take_while(|n| form.get(&format!("Filter.{n}.Name")).is_some()) {
        let name = form.get(&format!("Filter.{n}.Name")).unwrap_or_default();
        filters.insert(name, form.numbered(&format!("Filter.{n}.Value")));
    }
    let passes = |name: &str, value: &str| filters.get(name).is_none_or(|allowed| allowed.contains(&value));
    let tags = instances.values().flat_map(|instance| {
        instance.tags.iter().map(move |(key, value)| (instance.instance_id(), key.as_str(), value.as_str()))
    });
    let chosen = tags.filter(|(id, key, value)| {
        passes("resource-id", id) && passes("resource-type", "instance") && passes("key", key) && passes("value", value)
    });
    let mut xml = Xml::default();
    xml.element("tagSet", |xml| {
        for (id, key, value) in chosen {
            xml.element("item", |xml| {
                xml.text("resourceId", id);
                xml.text("resourceType", "instance");
                xml.text("key", key);
                xml.text("value", value);
            });
        }
    });
    xml
}

/// `Tag.N.Key` and `Tag.N.Value`.
fn tags(form: &Form) -> Result<Vec<(String, Option<String>)>, ApiError> {
    let tags: Vec<_> = (1..)
        .map_while(|n| {
            let key = form.get(&format!("Tag.{n}.Key"))?.to_owned();
            Some((key, form.get(&format!("Tag.{n}.Value")).map(str::to_owned)))
        })
        .collect();
    if tags.is_empty() {
        return Err(ApiError::sender("MissingParameter", "The request must contain the parameter Tag.1.Key"));
    }
    Ok(tags)
}

/// The instances of `ResourceId.N`.
fn resources<'a>(instances: &'a mut BTreeMap<u8, Imds>, form: &Form) -> Result<Vec<&'a mut Imds>, ApiError> {
    let asked = form.numbered("ResourceId");
    if asked.is_empty() {
        return Err(ApiError::sender("MissingParameter", "The request must contain the parameter resourceIdSet"));
    }
    let known = |id: &&str| instances.values().any(|instance| instance.instance_id() == *id);
    if let Some(unknown) = asked.iter().find(|id| !known(id)) {
        return Err(ApiError::sender("InvalidID", format!("The ID '{unknown}' is not valid")));
    }
    Ok(instances.values_mut().filter(|instance| asked.contains(&instance.instance_id())).collect())
}
