/// What a run of a program left: its trace, and how it ended.
public struct Run: Sendable, Equatable, Decodable {
    public var trace: [TraceEntry]
    public var outcome: Outcome

    public enum Outcome: String, Sendable, Decodable { case finished, stuck }
}

/// A line of a trace: the tick, the task that made it (`-`: the driver), and what happened.
public struct TraceEntry: Sendable, Equatable {
    public var tick: Int
    public var task: String
    public var event: [TraceValue]
}

/// A part of an event.
public enum TraceValue: Sendable, Equatable {
    case text(String)
    case number(Int)
    case flag(Bool)
    case list([TraceValue])
}

extension TraceEntry: Decodable {
    public init(from decoder: any Decoder) throws {
        var fields = try decoder.unkeyedContainer()
        tick = try fields.decode(Int.self)
        task = try fields.decode(String.self)
        event = []
        while !fields.isAtEnd { event.append(try fields.decode(TraceValue.self)) }
    }
}

extension TraceValue: Decodable, ExpressibleByStringLiteral {
    public init(stringLiteral text: String) { self = .text(text) }

    public init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let text = try? value.decode(String.self) {
            self = .text(text)
        } else if let number = try? value.decode(Int.self) {
            self = .number(number)
        } else if let flag = try? value.decode(Bool.self) {
            self = .flag(flag)
        } else {
            self = .list(try value.decode([TraceValue].self))
        }
    }
}

extension Run {
    /// Appends the line of the program `id`: `{"id": …, "trace": …, "outcome": …}`.
    public func write(id: String, to output: inout [UInt8]) {
        output.append(contentsOf: "{\"id\":".utf8)
        output.appendJSON(id)
        output.append(contentsOf: ",\"trace\":[".utf8)
        var isFirst = true
        for entry in trace {
            if !isFirst { output.append(UInt8(ascii: ",")) }
            isFirst = false
            entry.write(to: &output)
        }
        output.append(contentsOf: "],\"outcome\":\"\(outcome.rawValue)\"}\n".utf8)
    }
}

extension TraceEntry: CustomStringConvertible {
    func write(to output: inout [UInt8]) {
        output.append(contentsOf: "[\(tick),".utf8)
        output.appendJSON(task)
        for value in event {
            output.append(UInt8(ascii: ","))
            value.write(to: &output)
        }
        output.append(UInt8(ascii: "]"))
    }

    public var description: String {
        var output: [UInt8] = []
        write(to: &output)
        return String(decoding: output, as: UTF8.self)
    }
}

extension TraceValue {
    fileprivate func write(to output: inout [UInt8]) {
        switch self {
        case .text(let text): output.appendJSON(text)
        case .number(let number): output.append(contentsOf: String(number).utf8)
        case .flag(let flag): output.append(contentsOf: (flag ? "true" : "false").utf8)
        case .list(let values):
            output.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                value.write(to: &output)
            }
            output.append(UInt8(ascii: "]"))
        }
    }
}

extension [UInt8] {
    /// A string literal of JSON.
    fileprivate mutating func appendJSON(_ text: String) {
        append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                append(UInt8(ascii: "\\"))
                append(byte)
            case 0..<0x20:
                let digits = String(byte, radix: 16)
                append(contentsOf: "\\u".utf8)
                append(contentsOf: String(repeating: "0", count: 4 - digits.count).utf8)
                append(contentsOf: digits.utf8)
            default: append(byte)
            }
        }
        append(UInt8(ascii: "\""))
    }
}
