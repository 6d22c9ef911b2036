// The stream of answers to the page's calls. Gradio ends it when no call waits; a call that the page makes in that
// moment takes it for open still, and nobody would read the answer. So it goes on until every call has its answer, and
// where it breaks, each call that waits is told.
(() => {
  const error = "The answer got lost on its way: try again. If that does not help, reload the page.";
  const lost = (call, number) => (
    {msg: "process_completed", event_id: call, output: {error, visible: !number, duration: 10}, success: false}
  );  // said once, however many calls there were
  const fetch = window.fetch;
  const [awaited, early, joining] = [new Set(), new Set(), new Set()];  // early: answered before the call's own answer

  const join = async request => {
    const answer = await fetch(...request);
    const {event_id: call} = await answer.clone().json().catch(() => ({}));
    if (call && !early.delete(call)) awaited.add(call);
    return answer;
  };

  async function* messages(stream) {
    const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = "", piece = await reader.read(); !piece.done; piece = await reader.read()) {
      const whole = (text + piece.value).split("\n\n");
      text = whole.pop();
      yield* whole.map(message => JSON.parse(message.replace(/^data: /, "")));
    }
  }

  async function* answers(request, opened) {
    try {
      do {
        for await (const message of messages(opened.body)) {
          if (message.msg === "unexpected_error") throw new Error(message.message);
          if (message.msg === "process_completed" && !awaited.delete(message.event_id)) early.add(message.event_id);
          if (message.msg !== "close_stream") yield message;
        }
        await Promise.allSettled(joining);
        if (awaited.size) opened = await fetch(...request);
      } while (awaited.size && opened.ok);
    } catch (problem) {
      if (problem.name === "AbortError") throw problem;  // the page is being left: there is nobody to tell
      console.warn(problem);
    }
    await Promise.allSettled(joining);
    yield* [...awaited].map(lost);
    awaited.clear();
    yield {msg: "close_stream"};
  }

  window.fetch = async (...request) => {
    const {pathname} = new URL(request[0].url ?? request[0], location);
    if (pathname.endsWith("/queue/join")) {
      const joined = join(request);
      joining.add(joined);
      return joined.finally(() => joining.delete(joined));
    }
    const opened = await fetch(...request);
    if (!pathname.endsWith("/queue/data") || !opened.ok) return opened;
    const [given, encoder] = [answers(request, opened), new TextEncoder()];
    return new Response(new ReadableStream({
      async pull(controller) {
        const {done, value} = await given.next();
        if (done) controller.close();
        else controller.enqueue(encoder.encode(`data: ${JSON.stringify(value)}\n\n`));
      },
    }), opened);
  };
})();
