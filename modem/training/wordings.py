"""What is put around training prompts: our own words, many and varied, none about any field.

The evaluation wraps prompts too (`modem.evaluation.wrapping`), in other words: what a router has
learnt word for word would not be seen through.
"""

PROMPT = "{prompt}"
"""Stands for the prompt in what follows."""

INSTRUCTIONS = (
    "Answer this.\n\n{prompt}",
    "Please answer the following question.\n{prompt}",
    "{prompt}\n\nKeep it short.",
    "{prompt}\n\nAnswer in one paragraph.",
    "{prompt} Please be as precise as you can.",
    "{prompt}\nReply in plain English, without headings.",
    "{prompt}\n\nFormat: bullet points, at most five.",
    "Question: {prompt}\nAnswer:",
    "Q: {prompt}\nA:",
    "Q. {prompt}",
    "Prompt: {prompt}",
    "Task: {prompt}",
    "### Task\n{prompt}\n\n### Your answer",
    "## Request\n\n{prompt}\n\n## Reply\n",
    "INPUT\n{prompt}\nOUTPUT",
    "[QUESTION] {prompt} [/QUESTION]",
    "<question>{prompt}</question>",
    "<task>\n{prompt}\n</task>\nWrite only what goes between <answer> tags.",
    "Below is a request from somebody. Write a reply that does what it asks.\n\nRequest:\n{prompt}\n\nReply:",
    "Give a complete answer to what is asked here: {prompt}",
    "I need an answer to the following, with a short justification.\n\n{prompt}",
    "{prompt}\n\nIf you do not know, say that you do not know.",
    "{prompt}\n\nDo not repeat the question. Give the answer right away.",
    "Read carefully and respond.\n---\n{prompt}\n---",
    'Somebody wrote: "{prompt}"\nWhat would you tell them?',
    "Exercise 4.\n{prompt}",
    "(5 points) {prompt}",
    "True to the facts and in less than 100 words: {prompt}",
    '{prompt}\n\nYour reply must be valid JSON with the single key "answer".',
    "{prompt}\n\nEnd with your confidence as a percentage.",
)

REASONING = (
    "{prompt}\n\nThink it through before you answer.",
    "{prompt}\nLet us work this out one step at a time.",
    "{prompt}\n\nShow how you got there.",
    "{prompt}\n\nWrite down your reasoning first, then the result on the last line.",
    "Think aloud, then decide.\n\n{prompt}",
    "Break the following into parts, deal with each, then put them together.\n\n{prompt}",
    "You get a question. First list what is known, then what is asked, then answer.\n\n{prompt}",
    "{prompt}\n\nExplain every step so that a beginner can follow, and state the final answer clearly.",
    "Question: {prompt}\nThought:",
    "Reason carefully about what follows; check your answer once more at the end.\n{prompt}",
    "{prompt}\nTake a deep breath and go slowly.",
    "<thinking> goes before <answer>. Now: {prompt}",
    "Consider several ways to answer, weigh them against each other, and give the best.\n\n{prompt}",
    "Work on this like an expert would, writing your intermediate results down.\n\n{prompt}\n\nFinal result:",
)

PREAMBLES = (
    "Hi, {prompt}",
    "hey there! {prompt}",
    "Hello, I hope you are doing well. {prompt} Thank you!",
    "Good morning. I have a quick question. {prompt}",
    "quick q - {prompt}",
    "ok so {prompt}",
    "sorry to bother you again, {prompt}",
    "Thanks, that helped. Next one: {prompt}",
    "My friend and I were arguing about this yesterday. {prompt}",
    "I was wondering about something on the train this morning. {prompt} Cheers",
    "pls help!! {prompt}",
    "{prompt} thx",
    "{prompt} Any help is much appreciated.",
    "{prompt}\n\nSent from my phone",
    "I am new here, so forgive me if this has been asked before. {prompt}",
    "As a non-native speaker I find this hard to phrase. {prompt}",
    "You are a helpful assistant.\n\n{prompt}",
    "You are Max, the assistant of a large company. You are kind, brief and honest.\n\nUser: {prompt}\nMax:",
    "System: You answer questions from the public.\nUser: {prompt}\nAssistant:",
    "Human: {prompt}\n\nAssistant:",
    "<|user|>\n{prompt}\n<|assistant|>",
    "[INST] {prompt} [/INST]",
    "Act as someone who knows everything about this and never gets impatient. {prompt}",
    "Pretend you are my teacher. {prompt}",
    "Let's play a game: I ask, you answer in the style of a pirate. {prompt}",
    "Subject: a question\n\nDear team,\n\n{prompt}\n\nBest regards\nSam",
)

FENCES = (
    "```\n{prompt}\n```",
    "```text\n{prompt}\n```\nAnswer what is in the block above.",
    "'''{prompt}'''",
    '"""\n{prompt}\n"""',
    '{"role": "user", "content": "{prompt}"}',
    '{"id": 4711, "query": "{prompt}", "stream": false}',
    "query: >\n  {prompt}\nlanguage: en\n",
    "<p>{prompt}</p>",
    "> {prompt}",
    "| field | value |\n|---|---|\n| question | {prompt} |",
)

SNIPPETS = (
    "```python\nfor line in open('notes.txt'):\n    print(line.strip())\n```",
    "```js\nconst reply = await fetch('/api/items');\nconsole.log(await reply.json());\n```",
    "```sql\nSELECT name, created_at FROM items ORDER BY created_at DESC LIMIT 10;\n```",
    "```\nTraceback (most recent call last):\n  File \"app.py\", line 12, in <module>\nKeyError: 'name'\n```",
    "```bash\ncp -r old new && ls -l new | head\n```",
    '```json\n{"theme": "dark", "fontSize": 14, "tabs": ["home", "inbox"]}\n```',
    '```html\n<div class="card"><h2>Title</h2><p>Text</p></div>\n```',
    "```java\npublic int size() { return items.size(); }\n```",
)

AROUND_SNIPPETS = (
    "{prompt}\n\n(The clipboard also had this in it, ignore it.)\n{snippet}",
    "{snippet}\n\nThat was pasted by mistake. What I want to ask is this: {prompt}",
    "{prompt}\n\n{snippet}",
    "{snippet}\n\n{prompt}",
)

OPTION_INTROS = (
    "",
    "Options:\n",
    "Choices:\n",
    "Select one of these.\n",
    "Which of these is it?\n",
    "Pick the best answer:\n",
)

OPTION_MARKS = (
    "{upper}. ",
    "{upper}) ",
    "({upper}) ",
    "({lower}) ",
    "{lower}. ",
    "{number}. ",
    "{number}) ",
    "- ",
)

OPTION_ENDS = ("", "", "\nAnswer:", "\nReply with one letter.", "\nExplain your choice.")

GENERIC_OPTIONS = (
    ("Yes", "No"),
    ("True", "False"),
    ("Yes", "No", "It depends"),
    ("All of the above", "None of the above", "Cannot be determined"),
    ("Agree", "Disagree", "Not sure"),
    ("Option 1", "Option 2", "Option 3", "Option 4"),
)

PASSAGES = (
    "{before}\n\n{prompt}\n\n{after}",
    "{before}\n\n{prompt}",
    "{before} {after}\n\nQuestion: {prompt}",
    "Context:\n{before}\n{after}\n\nQuestion: {prompt}\nAnswer:",
    "Use what follows if it helps, else what you know.\n\n{before}\n\n{after}\n\n{prompt}",
    "<documents>\n{before}\n{after}\n</documents>\n\n{prompt}",
    "Search results\n[1] {before}\n[2] {after}\n\nUser question: {prompt}",
    "{prompt}\n\nNotes that may or may not matter:\n{before}\n{after}",
    "### Background\n{before}\n\n### Question\n{prompt}\n\n### Further reading\n{after}",
)

EXAMPLES = (
    ("What is the capital of Portugal?", "Lisbon."),
    ("How many minutes are in two hours?", "120."),
    ("Write a word that rhymes with house.", "Mouse."),
    ("Name a fruit that is yellow.", "Banana."),
    ("Which animal barks?", "A dog."),
    ("What colour is fresh snow?", "White."),
    ("Say thank you in Spanish.", "Gracias."),
    ("Which season comes after spring?", "Summer."),
)

EXAMPLE_FORMS = (
    ("Q: {prompt}\nA: {answer}", "Q: {prompt}\nA:"),
    ("Question: {prompt}\nAnswer: {answer}", "Question: {prompt}\nAnswer:"),
    ("Input: {prompt}\nOutput: {answer}", "Input: {prompt}\nOutput:"),
    ("user: {prompt}\nbot: {answer}", "user: {prompt}\nbot:"),
    ("- {prompt} -> {answer}", "- {prompt} ->"),
)

VAGUE_ANSWERS = ("(see above)", "ok", "done", "B", "yes", "it depends", "...")
"""What stands as the answer to an example whose answer is not known."""
