// Rests, then keeps more and more objects until V8's own maximum ends it.
const kept = [];
setTimeout(() => setInterval(() => {
  for (let i = 0; i < 4000; i++) kept.push({ text: "x".repeat(8) + i, numbers: [i, i + 1, i + 2] });
}, 100), 30000);
