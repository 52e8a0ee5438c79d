//! A logistic regression as an ONNX file, written by hand: `sigmoid(x · w + b)` over one matrix of floats.

/// Protocol buffers, as far as this file needs them.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        loop {
            let low = (value & 0x7f) as u8;
            value >>= 7;
            self.0.push(if value == 0 { low } else { low | 0x80 });
            if value == 0 {
                return;
            }
        }
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, inner: Self) -> Self {
        self.bytes(field, &inner.0)
    }
}

const FLOAT: u64 = 1;

fn node(kind: &str, inputs: &[&str], output: &str) -> Message {
    let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
    node.text(2, output).text(4, kind)
}

fn tensor(name: &str, dims: &[u64], values: &[f32]) -> Message {
    let tensor = dims.iter().fold(Message::default(), |tensor, dim| tensor.number(1, *dim));
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor.number(2, FLOAT).text(8, name).bytes(9, &raw)
}

/// A matrix of any number of rows.
fn value(name: &str, columns: u64) -> Message {
    let rows = Message::default().text(2, "rows");
    let shape = Message::default().message(1, rows).message(1, Message::default().number(1, columns));
    let tensor = Message::default().number(1, FLOAT).message(2, shape);
    Message::default().text(1, name).message(2, Message::default().message(1, tensor))
}

/// Columns of what [`laboured`] multiplies.
const WIDTH: u64 = 256;

/// The file of a model with these weights.
pub fn logistic(weights: &[f32], bias: f32) -> Vec<u8> {
    laboured(weights, bias, 0)
}

/// The same of a model that takes its time: it multiplies matrices so many times, adds nothing for all that, and so gives the
/// same scores.
pub fn laboured(weights: &[f32], bias: f32, times: usize) -> Vec<u8> {
    let columns = weights.len() as u64;
    let mut graph = Message::default();
    let mut last = "product";
    graph = graph.message(1, node("MatMul", &["x", "w"], last));
    if times > 0 {
        let zeros = |rows: u64, columns: u64| vec![0.0; (rows * columns) as usize];
        graph = graph.message(1, node("MatMul", &["x", "wide"], "h0"));
        for at in 1..=times {
            let (from, to) = (format!("h{}", at - 1), format!("h{at}"));
            graph = graph.message(1, node("MatMul", &[&from, "square"], &to));
        }
        last = "laboured";
        graph = graph
            .message(1, node("MatMul", &[&format!("h{times}"), "narrow"], "nothing"))
            .message(1, node("Add", &["product", "nothing"], last))
            .message(5, tensor("wide", &[columns, WIDTH], &zeros(columns, WIDTH)))
            .message(5, tensor("square", &[WIDTH, WIDTH], &zeros(WIDTH, WIDTH)))
            .message(5, tensor("narrow", &[WIDTH, 1], &zeros(WIDTH, 1)));
    }
    let graph = graph
        .message(1, node("Add", &[last, "b"], "sum"))
        .message(1, node("Sigmoid", &["sum"], "score"))
        .text(2, "logistic")
        .message(5, tensor("w", &[columns, 1], weights))
        .message(5, tensor("b", &[1], &[bias]))
        .message(11, value("x", columns))
        .message(12, value("score", 1));
    let opset = Message::default().text(1, "").number(2, 13);
    Message::default().number(1, 8).message(7, graph).message(8, opset).0
}
