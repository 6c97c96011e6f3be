import Testing
@testable import AsyncUV

@Suite struct ReportTests {
    @Test func aHandlerThatGoesMayTakeAnUnfetchedErrorWithIt() async throws {
        let log = Log()
        try await withLoop {
            let loop = try #require(EventLoop.current)
            var future: Future<Void>? = try Future()
            try future?.setError(Boom())
            loop.setReportHandler { [future] _ in _ = future }
            future = nil
            // The old handler was the last to hold the future, whose error is reported to the new one.
            loop.setReportHandler { log($0.message) }
        }
        #expect(log.entries == ["the error of a future was never fetched"])
    }
}
