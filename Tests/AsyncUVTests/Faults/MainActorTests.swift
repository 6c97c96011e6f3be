import Foundation
import Testing
@testable import AsyncUV

extension ChildProgram {
    /// As `end`, of a program that may hang: then it is killed.
    func end(within seconds: Int) -> (output: [String], errors: String, status: Int32) {
        let killing = DispatchWorkItem { [self] in send(SIGKILL) }
        DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(seconds), execute: killing)
        defer { killing.cancel() }
        return end()
    }
}

/// In programs of their own: this one's main thread belongs to the test runner.
@Suite struct MainActorTests {
    /// A closure that is the main actor's and runs elsewhere would end the process by a signal.
    @Test func fault29_closuresThatAreWrittenInTheMainActorsCodeRunElsewhere() async throws {
        let (lines, errors, status) = try await onOwnThread { try ChildProgram("FaultProbe", "isolation").end(within: 60) }
        #expect(
            lines == ["done callback", "blocking: 2", "post: false", "report: error of a callback", "task: false", "main: 2", "away: 4"], "\(lines) \(errors)")
        #expect(status == 0 && errors.isEmpty, "\(status) \(errors)")
    }

    @Test func fault30_aLoopOnTheMainThreadServesTheMainActor() async throws {
        let (lines, errors, status) = try await onOwnThread { try ChildProgram("FaultProbe", "main actor").end(within: 60) }
        #expect(lines == ["somebody 106", "107"], "\(lines) \(errors)")
        #expect(status == 0 && errors.isEmpty, "\(status) \(errors)")
    }
}
