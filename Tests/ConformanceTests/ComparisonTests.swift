import Foundation
import Testing

@testable import ConformanceKit

/// The comparison itself: it must not be blind to anything that conformance is about.
@Suite struct ComparisonTests {
    private let run = Run(
        trace: [
            TraceEntry(tick: 0, task: "main", event: [.text("start")]),
            TraceEntry(tick: 0, task: "t1", event: [.text("start")]),
            TraceEntry(tick: 5, task: "main", event: [.text("cancel"), .text("t1"), .flag(true)]),
            TraceEntry(tick: 5, task: "main", event: [.text("gather"), .list([.number(1), .text("cancelled")])]),
        ], outcome: .finished)

    private func compare(_ actual: Run?) -> Comparison {
        var comparison = Comparison()
        comparison.add("p/1", expected: run, actual: actual)
        return comparison
    }

    @Test func theSameRunIsPerfect() {
        let comparison = compare(run)
        #expect(comparison.isPerfect)
        #expect(comparison.differences.isEmpty)
        #expect(comparison.summary == "programs 1, per task 1 (100.000 %), in order 1 (100.000 %)")
    }

    @Test func anotherOrderOfTasksIsTheSameForEachTaskOnly() {
        var other = run
        other.trace.swapAt(0, 1)
        let comparison = compare(other)
        #expect((comparison.samePerTask, comparison.sameInOrder) == (1, 0))
        #expect(comparison.differences.first?.contains("in another order") == true)
    }

    @Test func anotherTickEventValueEndOrOutcomeDiffersAndIsShownWithWhatCameBefore() throws {
        var tick = run, value = run, missing = run, more = run, outcome = run
        tick.trace[2].tick = 6
        value.trace[2].event[2] = .number(1)
        missing.trace.removeLast()
        more.trace.append(more.trace[0])
        outcome.outcome = .stuck
        for other in [tick, value, missing, more, outcome] {
            let comparison = compare(other)
            #expect(!comparison.isPerfect)
            #expect((comparison.samePerTask, comparison.sameInOrder) == (0, 0))
        }
        #expect(
            try #require(compare(value).differences.first) == """
                p/1: differs in task main; the traces part after [0,"t1","start"]
                    expected [5,"main","cancel","t1",true] [5,"main","gather",[1,"cancelled"]]
                    got      [5,"main","cancel","t1",1] [5,"main","gather",[1,"cancelled"]]
                """)
    }

    @Test func aMissingRunDiffers() {
        #expect(!compare(nil).isPerfect)
    }

    @Test func whatTheDriverWritesIsReadBackAsItWas() async throws {
        let programs = try Programs.read("special")
        let output = try await onOwnThread {
            var output: [UInt8] = []
            for program in programs { try Driver.run(program, isolated: false).write(id: program.id, to: &output) }
            return output
        }
        var comparison = Comparison()
        try comparison.add(programs, actual: Data(output))
        #expect(comparison.isPerfect)
        #expect(comparison.programs == programs.count)
    }

    @Test func programsWithoutAnExpectedRunCannotBeCompared() throws {
        let programs = try Program.read(Data(#"{"id":"p/1","main":[]}"#.utf8), traces: true)
        var comparison = Comparison()
        #expect(throws: NothingExpected.self) { try comparison.add(programs, actual: Data()) }
    }

    @Test(arguments: [
        #"{"id":"p/1","main":[{"op":"unheard_of"}]}"#,
        #"{"id":"p/1","main":[],"sync":{"X":["unheard_of"]}}"#,
        #"{"id":"p/1","main":[{"op":"sleep"}]}"#,
        #"{"id":"p/1"}"#,
        "not JSON",
    ])
    func aProgramThatMakesNoSenseIsAnError(line: String) {
        #expect(throws: DecodingError.self) { try Program.read(Data(line.utf8), traces: false) }
    }
}
