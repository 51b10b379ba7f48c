//! What is different between two values, place by place.

use agentguard_core::ValueChange;
use serde_json::Value;

/// How many differences are told.
const MOST: usize = 5_000;

/// The places at which two values differ. Below a place that only one of them has, nothing more is told.
pub(super) fn differences(
    before: Option<&Value>,
    after: Option<&Value>,
) -> Option<Vec<ValueChange>> {
    let mut all = Vec::new();
    differ(&mut Vec::new(), before, after, &mut all);
    (all.len() <= MOST).then_some(all)
}

fn differ(
    at: &mut Vec<String>,
    before: Option<&Value>,
    after: Option<&Value>,
    all: &mut Vec<ValueChange>,
) {
    if before == after || all.len() > MOST {
        return;
    }
    match (before, after) {
        (Some(Value::Object(one)), Some(Value::Object(two))) => {
            let new = two.keys().filter(|name| !one.contains_key(*name));
            for name in one.keys().chain(new) {
                below(at, name.clone(), one.get(name), two.get(name), all);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(two))) => {
            for place in 0..one.len().max(two.len()) {
                below(at, place.to_string(), one.get(place), two.get(place), all);
            }
        }
        (before, after) => all.push(ValueChange {
            at: at.clone(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

fn below(
    at: &mut Vec<String>,
    name: String,
    before: Option<&Value>,
    after: Option<&Value>,
    all: &mut Vec<ValueChange>,
) {
    at.push(name);
    differ(at, before, after, all);
    at.pop();
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// What comes of `before` by what is told: all that was changed, or it would be another.
    pub(in crate::gate::push) fn changed(before: &Value, told: &[ValueChange]) -> Value {
        let mut value = before.clone();
        let (set, gone): (Vec<_>, Vec<_>) = told.iter().partition(|one| one.after.is_some());
        // The last items of a list first.
        for one in set.into_iter().chain(gone.into_iter().rev()) {
            change(&mut value, &one.at, one.after.as_ref());
        }
        value
    }

    fn change(value: &mut Value, at: &[String], after: Option<&Value>) {
        match (at, value) {
            ([], value) => *value = after.unwrap().clone(),
            ([last], Value::Object(object)) => {
                match after {
                    Some(after) => object.insert(last.clone(), after.clone()),
                    None => object.remove(last),
                };
            }
            ([last], Value::Array(list)) => {
                let place: usize = last.parse().unwrap();
                match after {
                    Some(after) if place == list.len() => list.push(after.clone()),
                    Some(after) => list[place] = after.clone(),
                    None => drop(list.remove(place)),
                }
            }
            ([first, rest @ ..], Value::Object(object)) => {
                change(object.get_mut(first).unwrap(), rest, after);
            }
            ([first, rest @ ..], Value::Array(list)) => {
                change(&mut list[first.parse::<usize>().unwrap()], rest, after);
            }
            (at, value) => panic!("{value} has nothing at {at:?}"),
        }
    }

    #[test]
    fn each_place_that_differs_is_told_once() {
        let before = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1, "same": {"x": 1}});
        let after = json!({"a": {"b": 2, "c": [1, 3, 4]}, "e": {"f": 1}, "same": {"x": 1}});
        let told: Vec<_> = differences(Some(&before), Some(&after))
            .unwrap()
            .into_iter()
            .map(|one| (one.at.join("/"), one.before, one.after))
            .collect();
        assert_eq!(
            told,
            [
                ("a/b".to_owned(), Some(json!(1)), Some(json!(2))),
                ("a/c/1".to_owned(), Some(json!(2)), Some(json!(3))),
                ("a/c/2".to_owned(), None, Some(json!(4))),
                ("d".to_owned(), Some(json!(1)), None),
                ("e".to_owned(), None, Some(json!({"f": 1}))),
            ]
        );
        let told = differences(Some(&before), Some(&after)).unwrap();
        assert_eq!(changed(&before, &told), after);
        let back = differences(Some(&after), Some(&before)).unwrap();
        assert_eq!(changed(&after, &back), before);
        assert_eq!(differences(Some(&after), Some(&after)), Some(Vec::new()));
        let new = differences(None, Some(&after)).unwrap();
        assert_eq!((new.len(), new[0].at.len()), (1, 0));
    }
}
