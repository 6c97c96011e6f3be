public import AsyncUV
internal import Foundation

/// The command line of a small daemon: `--name VALUE`, in any order. What is wrong ends the program with status 64, as sysexits(3) has it.
public struct Options: Sendable {
    private let program: String
    private let usage: String
    private var values: [(name: String, value: String)] = []

    /// - Parameter usage: such as `EchoServer --port PORT [--host ADDRESS]`: the names in it are those that are known.
    public init(_ usage: String, _ arguments: [String] = CommandLine.arguments) {
        self.usage = usage
        program = String(usage.prefix { $0 != " " })
        let known = usage.split { " []".contains($0) }.filter { $0.hasPrefix("--") }.map(String.init)
        var rest = arguments.dropFirst()
        while let name = rest.popFirst() {
            guard known.contains(name) else { refuse("unknown option '\(name)'") }
            guard let value = rest.popFirst() else { refuse("\(name) needs a value") }
            values.append((name, value))
        }
    }

    /// The last one given.
    public func text(_ name: String) -> String? { texts(name).last }

    /// All that were given, in order.
    public func texts(_ name: String) -> [String] { values.filter { $0.name == name }.map(\.value) }

    public func required(_ name: String) -> String {
        guard let text = text(name) else { refuse("\(name) is missing") }
        return text
    }

    public func port(_ name: String = "--port") -> Int {
        let text = required(name)
        guard let number = UInt16(text) else { refuse("\(name) \(text): a port is a number from 0 to 65535") }
        return Int(number)
    }

    /// A whole number of at least 1.
    public func count(_ name: String, default number: Int) -> Int {
        guard let text = text(name) else { return number }
        guard let number = Int(text), number > 0 else { refuse("\(name) \(text): give a whole number, at least 1") }
        return number
    }

    /// An address with its port. Refused if it is none.
    public func addresses(_ name: String) -> [SocketAddress] {
        texts(name).map { text in
            do {
                return try SocketAddress(parsing: text)
            } catch {
                refuse("\(name) \(text): \(error)")
            }
        }
    }

    /// Ends the program: the command line is wrong.
    public func refuse(_ message: String) -> Never { end("\(message); usage: \(usage)", status: 64) }

    private func end(_ message: String, status: Int32) -> Never {
        // There is nobody left to tell if that fails.
        try? FileHandle.standardError.write(contentsOf: Data("\(program): \(message)\n".utf8))
        exit(status)
    }

    /// Runs a daemon until it ends, or SIGTERM or SIGINT cancels it, which is how one ends: with status 0. What else it throws ends the program with status 1.
    public func run(_ main: @escaping @Sendable () async throws -> Void) {
        do {
            try EventLoop.run(cancellingOn: [.interrupt, .terminate]) {
                do { try await main() } catch is CancelledError {}
            }
        } catch {
            end("\(error)", status: 1)
        }
    }

    /// A line on standard output, at once.
    public func say(_ line: String) throws {
        try FileHandle.standardOutput.write(contentsOf: Data("\(line)\n".utf8))
    }
}
