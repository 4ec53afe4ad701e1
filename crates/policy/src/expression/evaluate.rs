//! The value of a tree for given facts, within a budget of steps.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use serde_json::Value as Json;

use super::compile::{Loop, Node, Operator};
use super::{Error, Facts, STEPS, Value};

pub(super) fn evaluate<'a>(root: &'a Node, facts: &'a dyn Facts) -> Result<Value<'a>, Error> {
    Evaluation { facts, locals: Vec::new(), budget: Budget { left: STEPS } }.value(root)
}

/// What an evaluation may still cost.
pub(super) struct Budget {
    left: u32,
}

impl Budget {
    pub(super) fn steps(&mut self, steps: usize) -> Result<(), Error> {
        let left = u32::try_from(steps).ok().and_then(|steps| self.left.checked_sub(steps));
        self.left = left.unwrap_or(0);
        left.map(|_| ()).ok_or(Error::Exhausted)
    }

    /// For something that looks at all of a text.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Error> {
        self.steps(text.len() / 16)
    }
}

struct Evaluation<'a> {
    facts: &'a dyn Facts,
    /// Accumulators and items of the loops around. An error waits here: what follows may make it irrelevant.
    locals: Vec<Result<Value<'a>, Error>>,
    budget: Budget,
}

impl<'a> Evaluation<'a> {
    fn value(&mut self, node: &'a Node) -> Result<Value<'a>, Error> {
        self.budget.steps(1)?;
        match node {
            Node::Null => Ok(Value::Null),
            Node::Bool(flag) => Ok(Value::Bool(*flag)),
            Node::Int(number) => Ok(Value::Int(*number)),
            Node::Double(number) => Ok(Value::Double(*number)),
            Node::Text(text) => Ok(Value::text(text)),
            Node::Variable(variable) => Ok(self.facts.value(*variable)),
            Node::Local(at) => self.local(*at),
            Node::Select(of, name) => {
                let of = self.value(of)?;
                self.entry(&of, name)
            }
            Node::Has(of, name) => {
                let of = self.value(of)?;
                match self.entry(&of, name) {
                    Ok(_) => Ok(Value::Bool(true)),
                    Err(Error::Absent(_)) => Ok(Value::Bool(false)),
                    Err(error) => Err(error),
                }
            }
            Node::Index(sides) => self.index(sides),
            Node::Not(of) => Ok(Value::Bool(!self.flag(of)?)),
            Node::Negate(of) => match self.value(of)? {
                Value::Int(number) => number.checked_neg().map(Value::Int).ok_or(Error::Arithmetic("a number is too large")),
                Value::Double(number) => Ok(Value::Double(-number)),
                other => Err(Error::Unfit(format!("`-` does not take {}", other.kind()))),
            },
            Node::And(sides) => self.either(sides, false),
            Node::Or(sides) => self.either(sides, true),
            Node::Conditional(parts) => match self.flag(&parts[0])? {
                true => self.value(&parts[1]),
                false => self.value(&parts[2]),
            },
            Node::Binary(operator, sides) => {
                let (a, b) = (self.value(&sides[0])?, self.value(&sides[1])?);
                self.binary(*operator, a, b)
            }
            Node::Matches(text, pattern) => match self.value(text)? {
                Value::Text(text) => {
                    self.budget.text(&text)?;
                    Ok(Value::Bool(pattern.is_match(&text)))
                }
                other => Err(Error::Unfit(format!("`matches` does not take {}", other.kind()))),
            },
            Node::Call(function, args) => {
                let args = self.values(args)?;
                function.call(&args, &mut self.budget)
            }
            Node::List(items) => Ok(Value::List(Rc::from(self.values(items)?))),
            Node::Map(entries) => {
                let mut made = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    made.push((self.value(key)?, self.value(value)?));
                }
                Ok(Value::Map(Rc::from(made)))
            }
            Node::NotStrictlyFalse(of) => match self.value(of) {
                Err(Error::Exhausted) => Err(Error::Exhausted),
                Ok(Value::Bool(false)) => Ok(Value::Bool(false)),
                _ => Ok(Value::Bool(true)),
            },
            Node::Loop(it) => self.run(it),
        }
    }

    fn values(&mut self, nodes: &'a [Node]) -> Result<Vec<Value<'a>>, Error> {
        nodes.iter().map(|node| self.value(node)).collect()
    }

    fn local(&mut self, at: usize) -> Result<Value<'a>, Error> {
        self.locals.get(at).cloned().unwrap_or(Ok(Value::Null))
    }

    fn flag(&mut self, node: &'a Node) -> Result<bool, Error> {
        match self.value(node)? {
            Value::Bool(flag) => Ok(flag),
            other => Err(Error::Unfit(format!("{} stands where true or false must", other.kind()))),
        }
    }

    /// `||` where `decisive` is true, `&&` where it is false: one decisive side decides, even if the other has no value.
    fn either(&mut self, sides: &'a [Node; 2], decisive: bool) -> Result<Value<'a>, Error> {
        let first = self.flag(&sides[0]);
        if first == Ok(decisive) || first == Err(Error::Exhausted) {
            return first.map(Value::Bool);
        }
        match (first, self.flag(&sides[1])) {
            (_, Ok(second)) if second == decisive => Ok(Value::Bool(decisive)),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(_), Ok(second)) => Ok(Value::Bool(second)),
        }
    }

    fn entry(&mut self, of: &Value<'a>, name: &str) -> Result<Value<'a>, Error> {
        let absent = || Error::Absent(format!("`{}`", name.escape_debug()));
        match of {
            Value::Json(Json::Object(entries)) => entries.get(name).map(Value::json).ok_or_else(absent),
            Value::Fields(variable) => self.facts.field(*variable, name).map(Value::Text).ok_or_else(absent),
            Value::Map(entries) => {
                self.budget.steps(entries.len())?;
                let found = entries.iter().find(|(key, _)| matches!(key, Value::Text(key) if key == name));
                found.map(|(_, value)| value.clone()).ok_or_else(absent)
            }
            other => Err(Error::Unfit(format!("{} has no `{}`", other.kind(), name.escape_debug()))),
        }
    }

    fn index(&mut self, sides: &'a [Node; 2]) -> Result<Value<'a>, Error> {
        let (of, at) = (self.value(&sides[0])?, self.value(&sides[1])?);
        let item = |at: i64| Error::Absent(format!("item {at}"));
        match (&of, &at) {
            (_, Value::Text(name)) => self.entry(&of, name),
            (Value::List(items), Value::Int(at)) => {
                usize::try_from(*at).ok().and_then(|i| items.get(i)).cloned().ok_or_else(|| item(*at))
            }
            (Value::Json(Json::Array(items)), Value::Int(at)) => {
                usize::try_from(*at).ok().and_then(|i| items.get(i)).map(Value::json).ok_or_else(|| item(*at))
            }
            (Value::Map(entries), _) => {
                for (key, value) in entries.iter() {
                    if self.equal(key, &at)? {
                        return Ok(value.clone());
                    }
                }
                Err(Error::Absent(at.shown()))
            }
            _ => Err(Error::Unfit(format!("{} can't be indexed by {}", of.kind(), at.kind()))),
        }
    }

    fn binary(&mut self, operator: Operator, a: Value<'a>, b: Value<'a>) -> Result<Value<'a>, Error> {
        let order = |is: fn(Ordering) -> bool| compare(&a, &b).map(|order| Value::Bool(order.is_some_and(is)));
        match operator {
            Operator::Equal => Ok(Value::Bool(self.equal(&a, &b)?)),
            Operator::Unequal => Ok(Value::Bool(!self.equal(&a, &b)?)),
            Operator::Less => order(Ordering::is_lt),
            Operator::AtMost => order(Ordering::is_le),
            Operator::Greater => order(Ordering::is_gt),
            Operator::AtLeast => order(Ordering::is_ge),
            Operator::In => self.contains(&b, &a),
            Operator::Add => match (a, b) {
                (Value::Text(a), Value::Text(b)) => {
                    self.budget.text(&a)?;
                    self.budget.text(&b)?;
                    Ok(Value::Text(Cow::Owned(format!("{a}{b}"))))
                }
                (a @ (Value::List(_) | Value::Json(Json::Array(_))), b) => {
                    let joined: Vec<Value<'a>> = self.items(&a)?.into_iter().chain(self.items(&b)?).collect();
                    Ok(Value::List(Rc::from(joined)))
                }
                (a, b) => arithmetic(operator, &a, &b),
            },
            _ => arithmetic(operator, &a, &b),
        }
    }

    fn contains(&mut self, of: &Value<'a>, wanted: &Value<'a>) -> Result<Value<'a>, Error> {
        match (of, wanted) {
            (Value::Fields(_) | Value::Json(Json::Object(_)), Value::Text(name)) => Ok(Value::Bool(self.entry(of, name).is_ok())),
            (Value::Fields(_) | Value::Json(Json::Object(_)), _) => Ok(Value::Bool(false)),
            _ => {
                for item in self.items(of)? {
                    if self.equal(&item, wanted)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
        }
    }

    /// The items of a list, or the keys of a map.
    fn items(&mut self, of: &Value<'a>) -> Result<Vec<Value<'a>>, Error> {
        let items: Vec<Value<'a>> = match of {
            Value::List(items) => items.to_vec(),
            Value::Map(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
            Value::Json(Json::Array(items)) => items.iter().map(Value::json).collect(),
            Value::Json(Json::Object(entries)) => entries.keys().map(|key| Value::text(key)).collect(),
            Value::Fields(_) => return Err(Error::Unfit("this map can only be asked for names".to_owned())),
            other => return Err(Error::Unfit(format!("{} stands where a list must", other.kind()))),
        };
        self.budget.steps(items.len())?;
        Ok(items)
    }

    fn equal(&mut self, a: &Value<'a>, b: &Value<'a>) -> Result<bool, Error> {
        self.budget.steps(1)?;
        Ok(match (a, b) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => {
                self.budget.text(a)?;
                a == b
            }
            (Value::Json(a), Value::Json(b)) => {
                self.budget.text(&a.to_string())?;
                a == b
            }
            (Value::List(_) | Value::Json(Json::Array(_)), Value::List(_) | Value::Json(Json::Array(_))) => {
                let (a, b) = (self.items(a)?, self.items(b)?);
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(&b) {
                    if !self.equal(a, b)? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => matches!(compare(a, b), Ok(Some(Ordering::Equal))),
        })
    }

    fn run(&mut self, it: &'a Loop) -> Result<Value<'a>, Error> {
        let over = self.value(&it.over)?;
        let items = self.items(&over)?;
        let start = self.value(&it.start)?;
        let at = self.locals.len();
        self.locals.extend([Ok(start), Ok(Value::Null)]);
        let result = self.turns(it, items, at);
        self.locals.truncate(at);
        result
    }

    fn turns(&mut self, it: &'a Loop, items: Vec<Value<'a>>, at: usize) -> Result<Value<'a>, Error> {
        for item in items {
            if !self.flag(&it.while_holds)? {
                break;
            }
            self.locals[at + 1] = Ok(item);
            let step = self.value(&it.step);
            if step.as_ref().is_err_and(|error| *error == Error::Exhausted) {
                return step;
            }
            self.locals[at] = step;
        }
        self.value(&it.result)
    }
}

/// Numbers with numbers, texts with texts, flags with flags. `None` where one is no number at all.
fn compare(a: &Value<'_>, b: &Value<'_>) -> Result<Option<Ordering>, Error> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Int(a), Value::Double(b)) => Ok((*a as f64).partial_cmp(b)),
        (Value::Double(a), Value::Int(b)) => Ok(a.partial_cmp(&(*b as f64))),
        (Value::Double(a), Value::Double(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
        (a, b) => Err(Error::Unfit(format!("{} can't be compared with {}", a.kind(), b.kind()))),
    }
}

fn arithmetic<'a>(operator: Operator, a: &Value<'a>, b: &Value<'a>) -> Result<Value<'a>, Error> {
    let (x, y) = match (a, b) {
        (Value::Int(a), Value::Int(b)) => return whole(operator, *a, *b).map(Value::Int),
        (Value::Int(a), Value::Double(b)) => (*a as f64, *b),
        (Value::Double(a), Value::Int(b)) => (*a, *b as f64),
        (Value::Double(a), Value::Double(b)) => (*a, *b),
        (a, b) => return Err(Error::Unfit(format!("no arithmetic with {} and {}", a.kind(), b.kind()))),
    };
    Ok(Value::Double(match operator {
        Operator::Add => x + y,
        Operator::Subtract => x - y,
        Operator::Multiply => x * y,
        Operator::Divide => x / y,
        _ => return Err(Error::Arithmetic("`%` takes whole numbers")),
    }))
}

fn whole(operator: Operator, a: i64, b: i64) -> Result<i64, Error> {
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        _ if b == 0 => return Err(Error::Arithmetic("division by zero")),
        Operator::Divide => a.checked_div(b),
        _ => a.checked_rem(b),
    };
    result.ok_or(Error::Arithmetic("a number is too large"))
}
