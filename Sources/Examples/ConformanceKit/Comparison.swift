public import Foundation

/// How the runs of programs compare with their expected ones.
public struct Comparison: Sendable {
    public private(set) var programs = 0
    /// Each task saw the same events at the same ticks.
    public private(set) var samePerTask = 0
    /// The whole trace is the same, the order of the tasks inside one tick included.
    public private(set) var sameInOrder = 0
    /// One text for each program that differs, at most `shown` of them.
    public private(set) var differences: [String] = []
    private let shown: Int

    public init(shown: Int = 5) { self.shown = shown }

    public var isPerfect: Bool { sameInOrder == programs }

    /// - Parameter actual: nil if there is none for this program.
    public mutating func add(_ id: String, expected: Run, actual: Run?) {
        programs += 1
        guard let actual else { return show("\(id): no run of it") }
        if expected == actual {
            sameInOrder += 1
            samePerTask += 1
            return
        }
        let difference: String
        if expected.outcome != actual.outcome {
            difference = "outcome expected \(expected.outcome), got \(actual.outcome)"
        } else if let task = Comparison.firstTaskThatDiffers(expected, actual) {
            difference = "differs in task \(task)"
        } else {
            samePerTask += 1
            difference = "the same for each task, in another order"
        }
        show("\(id): \(difference); \(Comparison.parting(of: expected.trace, and: actual.trace))")
    }

    public var summary: String {
        func share(_ count: Int) -> String {
            "\(count) (\(String(format: "%.3f", programs == 0 ? 0 : 100 * Double(count) / Double(programs))) %)"
        }
        return "programs \(programs), per task \(share(samePerTask)), in order \(share(sameInOrder))"
    }

    private mutating func show(_ difference: String) {
        if differences.count < shown { differences.append(difference) }
    }

    private static func firstTaskThatDiffers(_ expected: Run, _ actual: Run) -> String? {
        let expectedByTask = Dictionary(grouping: expected.trace, by: \.task)
        let actualByTask = Dictionary(grouping: actual.trace, by: \.task)
        return (expected.trace + actual.trace).first { expectedByTask[$0.task] != actualByTask[$0.task] }?.task
    }

    private static func parting(of expected: [TraceEntry], and actual: [TraceEntry]) -> String {
        let index = zip(expected, actual).enumerated().first { $1.0 != $1.1 }?.offset ?? min(expected.count, actual.count)
        func lines(_ trace: [TraceEntry]) -> String {
            let part = trace.dropFirst(index).prefix(3)
            return part.isEmpty ? "nothing more" : part.map(\.description).joined(separator: " ")
        }
        let before = index == 0 ? "the beginning" : expected[index - 1].description
        return "the traces part after \(before)\n    expected \(lines(expected))\n    got      \(lines(actual))"
    }
}

extension Comparison {
    /// Compares the lines that a driver wrote with programs that carry the expected runs.
    /// - Throws: ``NothingExpected``; the error of a line that is no run.
    public mutating func add(_ programs: [Program], actual lines: Data) throws {
        struct Line: Decodable {
            let id: String
            let trace: [TraceEntry]
            let outcome: Run.Outcome
        }
        let decoder = JSONDecoder()
        var runs: [String: Run] = [:]
        for line in splitLines(lines) {
            let line = try decoder.decode(Line.self, from: line)
            runs[line.id] = Run(trace: line.trace, outcome: line.outcome)
        }
        for program in programs {
            guard let expected = program.expected else { throw NothingExpected(id: program.id) }
            add(program.id, expected: expected, actual: runs[program.id])
        }
    }
}

/// A program without `expect` cannot be compared.
public struct NothingExpected: Error, CustomStringConvertible {
    public let id: String
    public var description: String { "the program \(id) does not say what is expected: it has no \"expect\"" }
}
