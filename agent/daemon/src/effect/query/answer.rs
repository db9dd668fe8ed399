//! Reads what is answered in XML: lists of facts, and refusals.

use std::fmt::Display;

use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use bytes::Bytes;
use http::Response;
use pitcrew_core::wire::{Failure, FailureKind};

use crate::effect::failure::Asked;

/// An answer: `<XResponse><XResult>…</XResult>…</XResponse>`, to what was asked.
pub(in crate::effect) struct Answer<'a> {
    text: String,
    asked: &'a Asked<'a>,
}

impl<'a> Answer<'a> {
    /// Fails with `Unavailable` where this is no answer to what was asked: somebody's sign-in page, for instance.
    pub(super) fn of(body: &Bytes, asked: &'a Asked<'a>) -> Result<Self, Failure> {
        let answer = Self { text: String::from_utf8_lossy(body).into_owned(), asked };
        let root = root(&answer.text).map_err(|error| answer.unreadable(&error))?;
        match root.strip_suffix("Response") == Some(asked.operation()) {
            true => Ok(answer),
            false => Err(answer.unreadable(&format!("it is a `{root}`"))),
        }
    }

    /// These facts of each member of a list, empty where one is not told. A fact is named by its way from the member:
    /// `LifecycleState`, `Target/Id`. Fails with `Unavailable` where the answer cannot be read.
    pub(in crate::effect) fn members<const N: usize>(
        &self,
        list: &str,
        facts: [&str; N],
    ) -> Result<Vec<[String; N]>, Failure> {
        members(&self.text, list, facts).map_err(|error| self.unreadable(&error))
    }

    /// One fact beside the lists, `NextMarker`; `None` where it is not told.
    pub(in crate::effect) fn fact(&self, name: &str) -> Result<Option<String>, Failure> {
        fact(&self.text, name).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &dyn Display) -> Failure {
        let sentence = format!("{} was answered with what cannot be read: {error}", self.asked.operation());
        Failure { kind: FailureKind::Unavailable, sentence }
    }
}

/// What the document calls itself.
fn root(text: &str) -> Result<String, XmlDecodeError> {
    Ok(Document::new(text).root_element()?.start_el().local().to_owned())
}

/// From `<XResponse><XResult><LIST><member>…</member>…</LIST></XResult>…</XResponse>`.
fn members<const N: usize>(text: &str, list: &str, facts: [&str; N]) -> Result<Vec<[String; N]>, XmlDecodeError> {
    let mut found = Vec::new();
    let mut document = Document::new(text);
    let mut root = document.root_element()?;
    while let Some(mut result) = root.next_tag() {
        while let Some(mut of) = result.next_tag() {
            if of.start_el().local() != list {
                continue;
            }
            while let Some(mut member) = of.next_tag() {
                let mut told = [const { String::new() }; N];
                take(&mut member, "", &facts, &mut told)?;
                found.push(told);
            }
        }
    }
    Ok(found)
}

/// Takes what is asked for out of an element, and looks no deeper than that lies.
fn take(
    element: &mut ScopedDecoder<'_, '_>,
    above: &str,
    facts: &[&str],
    told: &mut [String],
) -> Result<(), XmlDecodeError> {
    while let Some(mut below) = element.next_tag() {
        let way = format!("{above}{}", below.start_el().local());
        if let Some((_, told)) = facts.iter().zip(told.iter_mut()).find(|(fact, _)| **fact == way) {
            *told = try_data(&mut below)?.into_owned();
        } else if facts.iter().any(|fact| fact.strip_prefix(&way).is_some_and(|rest| rest.starts_with('/'))) {
            take(&mut below, &(way + "/"), facts, told)?;
        }
    }
    Ok(())
}

fn fact(text: &str, name: &str) -> Result<Option<String>, XmlDecodeError> {
    let mut document = Document::new(text);
    let mut root = document.root_element()?;
    while let Some(mut result) = root.next_tag() {
        while let Some(mut fact) = result.next_tag() {
            if fact.start_el().local() == name {
                return Ok(Some(try_data(&mut fact)?.into_owned()).filter(|told| !told.is_empty()));
            }
        }
    }
    Ok(None)
}

/// Code and message of an error; empty where there are none.
pub(super) fn refusal(answer: &Response<Bytes>) -> (String, String) {
    let text = std::str::from_utf8(answer.body()).unwrap_or_default();
    let mut found = (String::new(), String::new());
    // What cannot be read to its end has said its code by then, or says none.
    let _ = read_refusal(text, &mut found);
    found
}

/// EC2 writes `<Response><Errors><Error><Code>…</Code><Message>…</Message></Error></Errors>…</Response>`, the others
/// `<ErrorResponse><Error><Code>…</Code><Message>…</Message></Error>…</ErrorResponse>`.
fn read_refusal(text: &str, found: &mut (String, String)) -> Result<(), XmlDecodeError> {
    let mut document = Document::new(text);
    let mut root = document.root_element()?;
    while let Some(mut below) = root.next_tag() {
        if below.start_el().local() == "Error" {
            read_error(&mut below, found)?;
        } else {
            while let Some(mut error) = below.next_tag() {
                read_error(&mut error, found)?;
            }
        }
    }
    Ok(())
}

fn read_error(error: &mut ScopedDecoder<'_, '_>, found: &mut (String, String)) -> Result<(), XmlDecodeError> {
    while let Some(mut fact) = error.next_tag() {
        match fact.start_el().local() {
            "Code" if found.0.is_empty() => found.0 = try_data(&mut fact)?.into_owned(),
            "Message" if found.1.is_empty() => found.1 = try_data(&mut fact)?.into_owned(),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_past_what_is_nested_and_what_is_not_asked() {
        let text = "<DescribeAutoScalingInstancesResponse><DescribeAutoScalingInstancesResult><NextToken>t</NextToken>\
            <AutoScalingInstances><member><LaunchTemplate><Version>3</Version></LaunchTemplate>\
            <LifecycleState>InService</LifecycleState><AutoScalingGroupName>fleet</AutoScalingGroupName></member>\
            <member><InstanceId>i-2</InstanceId></member></AutoScalingInstances>\
            </DescribeAutoScalingInstancesResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>\
            </DescribeAutoScalingInstancesResponse>";
        let read = members(text, "AutoScalingInstances", ["AutoScalingGroupName", "LifecycleState"]).unwrap();
        assert_eq!(read, [["fleet", "InService"], ["", ""]]);
        let read = members(text, "AutoScalingInstances", ["Version", "LaunchTemplate/Version"]).unwrap();
        assert_eq!(read, [["", "3"], ["", ""]]);
        assert_eq!(members(text, "LifecycleHooks", ["LifecycleHookName"]).unwrap(), [[""; 1]; 0]);
        assert_eq!(fact(text, "NextToken").unwrap().as_deref(), Some("t"));
        assert_eq!(fact(text, "NextMarker").unwrap(), None);
        assert!(members("no XML", "AutoScalingInstances", ["LifecycleState"]).is_err());
    }

    #[test]
    fn both_ways_of_writing_a_refusal_are_read() {
        let table = [
            "<Response><Errors><Error><Code>A</Code><Message>b</Message></Error></Errors><RequestID>r</RequestID></Response>",
            "<ErrorResponse><Error><Type>Sender</Type><Code>A</Code><Message>b</Message></Error></ErrorResponse>",
        ];
        for text in table {
            let answer = Response::new(Bytes::from(text));
            assert_eq!(refusal(&answer), ("A".to_owned(), "b".to_owned()), "{text}");
        }
        assert_eq!(refusal(&Response::new(Bytes::from("no XML"))), Default::default());
    }
}
